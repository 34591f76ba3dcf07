"""The card as a page, and what it tells of sections that are there and says nothing of those that are not."""

import re

from imaging.packaging.closer_looks import LONGEST, closer_looks
from imaging.packaging.model_card import render_model_card_page

FIGURE = {"value": 0.9, "low": 0.8, "high": 1.0}


def words(html: str) -> list[str]:
    return re.findall(r"[\w.%]+", re.sub(r"<[^>]+>", " ", html.split("<main>")[1]))


def test_the_page_says_what_the_markdown_says(finished):
    card = (finished.package / "model_card.md").read_text()
    page = (finished.package / "model_card.html").read_text()
    assert page == render_model_card_page(card)
    figures = re.findall(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", card)
    assert len(figures) > 20
    assert all(figure in page for figure in figures)
    assert len(re.findall(r"<h2>", page)) == len(re.findall(r"^## ", card, re.MULTILINE))


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(finished):
    page = (finished.package / "model_card.html").read_text()
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", page)
    assert "default-src 'none'" in page


def test_markup_in_the_text_stays_text():
    page = render_model_card_page("# a <b>\n\n<script>alert(1)</script> | [x](javascript:alert)\n")
    assert "<script" not in page
    assert 'href="javascript' not in page
    assert words(page)[:2] == ["Model", "card"]


def test_an_evaluation_without_sections_has_no_closer_look():
    assert closer_looks({"n_images": 3, "overall": {"macro_auroc": FIGURE}, "robustness": None}) == []


def test_a_sections_figures_that_were_measured_are_told_by_where_they_stand():
    section = {
        "n_images": 9,
        "macro_auroc": FIGURE,
        "corruptions": [{"title": "Noise", "level": "sigma 5", "drop": FIGURE}, {"title": "Blur", "drop": FIGURE}],
        "sets": {"covid": {"size": {"value": None, "low": None, "high": None}}},
        "attacks": [{"epsilon": 4, "accuracy": FIGURE}],
        "per_class": {"covid": FIGURE},
        "statements": ["the border tells the class"],
    }
    (look,) = closer_looks({"robustness": section})
    assert look.title == "Robustness"
    assert look.rows == (
        ("macro AUROC", "0.900 (0.800 to 1.000)"),
        ("Noise sigma 5, drop", "0.900 (0.800 to 1.000)"),
        ("Blur, drop", "0.900 (0.800 to 1.000)"),
        ("attacks 4, accuracy", "0.900 (0.800 to 1.000)"),
    )
    assert look.statements == ("the border tells the class",)


def test_a_section_that_nobody_foresaw_is_told_after_the_known_ones_and_cut_where_long():
    many = {"rows": [{"name": str(n), "x": FIGURE} for n in range(LONGEST + 3)]}
    looks = closer_looks({"second_reader": many, "export": {"delta": FIGURE}})
    assert [look.title for look in looks] == ["Export", "Second reader"]
    assert (len(looks[1].rows), looks[1].left_out) == (LONGEST, 3)
