"""The hospital's year: what happens when, what labels say, and how alarms are held against it."""

from pathlib import Path

import numpy as np
import pytest

from thorax.demo.year import hospital
from thorax.demo.year.page import write_year_page
from thorax.demo.year.story import Year, judge

COUNT = 1_200


@pytest.fixture
def images() -> hospital.Images:
    chance = np.random.default_rng(1)
    site = np.array(list(hospital.SITES))[np.arange(COUNT) % 3]
    new = (site == "B") & (np.arange(COUNT) % 2 == 0)
    return hospital.Images(site=site, is_new_scanner=new, label=chance.choice(["normal", "covid", "pneumonia"], COUNT))


def test_the_scanner_is_replaced_at_one_site_and_stays(images: hospital.Images) -> None:
    for week in (0, hospital.SCANNER_FROM - 1, hospital.SCANNER_FROM, hospital.WEEKS - 1):
        chosen = hospital.drawn(images, week)
        new = set(images.is_new_scanner[chosen[images.site[chosen] == "B"]].tolist())
        assert new == {week >= hospital.SCANNER_FROM}
        assert not images.is_new_scanner[chosen[images.site[chosen] != "B"]].any()


def test_the_wave_comes_and_goes(images: hospital.Images) -> None:
    def share(weeks: range) -> float:
        return float(np.mean([(images.label[hospital.drawn(images, week)] == "pneumonia").mean() for week in weeks]))

    assert share(range(10)) == pytest.approx(hospital.USUAL_SHARE, abs=0.05)
    assert share(hospital.WAVE) == pytest.approx(hospital.WAVE_SHARE, abs=0.05)
    assert share(range(hospital.WAVE.stop, 45)) == pytest.approx(hospital.USUAL_SHARE, abs=0.05)


def test_a_week_is_the_same_each_time_and_holds_each_image_once(images: hospital.Images) -> None:
    first, second = hospital.drawn(images, 5), hospital.drawn(images, 5)
    assert first.tolist() == second.tolist()
    assert len(set(first.tolist())) == len(first) == 3 * hospital.A_WEEK


def test_labels_are_wrong_at_one_site_for_some_weeks_alone() -> None:
    week = hospital.MISLABELLED.start
    assert hospital.said("normal", "C", week) == "pneumonia"
    assert hospital.said("normal", "A", week) == "normal"
    assert hospital.said("normal", "C", hospital.MISLABELLED.stop) == "normal"
    assert hospital.said("covid", "C", week) == "covid"


def year_with(**weeks: list[int]) -> Year:
    year = Year()
    for kind, when in weeks.items():
        for week in when:
            year.tell(week, kind, "mean")
    return year


SCANNER, WAVE, LABELS = (event.weeks.start for event in hospital.EVENTS)


def test_alarms_in_time_are_as_it_should_be() -> None:
    judged = judge(year_with(drift=[SCANNER, WAVE + 1], performance=[LABELS + 4]))
    assert judged["as_it_should_be"]
    assert [one["found"] for one in judged["events"]] == [SCANNER, WAVE + 1, LABELS + 4]


@pytest.mark.parametrize(
    "alarms",
    [
        {"drift": [SCANNER], "performance": [LABELS + 2]},
        {"drift": [SCANNER + 3, WAVE], "performance": [LABELS + 2]},
        {"drift": [SCANNER, WAVE, 2, 9], "performance": [LABELS + 2]},
        {"drift": [SCANNER, WAVE, LABELS]},
    ],
    ids=["one not found", "one too late", "two false alarms", "another kind of alarm"],
)
def test_what_is_missed_late_or_false_is_not_as_it_should_be(alarms: dict[str, list[int]]) -> None:
    assert not judge(year_with(**alarms))["as_it_should_be"]


def test_the_page_shows_each_week_and_all_that_happened(tmp_path: Path) -> None:
    year = year_with(drift=[SCANNER, WAVE], performance=[LABELS], retrained=[SCANNER], refused=[SCANNER + 1])
    for week in range(hospital.WEEKS):
        year.weeks.append({"week": week, "version": "1", "rows": 210, "worst": 0.5 + week / 10, "drifted": week == 14})
        if week % 2 == 0:
            year.weeks[-1] |= {
                "sensitivity": {"value": 0.9, "low": 0.8, "high": 0.95},
                "estimated": 0.88,
                "labelled": 9,
            }
    page = write_year_page(tmp_path / "index.html", year.weeks, year.happened, judge(year)).read_text()
    assert page.count('class="bar') == hospital.WEEKS
    assert page.count("<circle") == 26 + len(year.happened)
    for event in hospital.EVENTS:
        assert event.name in page
