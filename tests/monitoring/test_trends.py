"""The page of weeks: every look in its place, what is no look passed over, nothing to show said."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from monitoring.trends import HEIGHT, WIDTH, looks_of, write_trends
from thorax.cli import app


def keep(home: Path, day: int, **changes: Any) -> None:
    figure = {"name": "mean", "psi": 0.02 * day, "watched": True}
    part = {"column": "site", "value": "B", "score": 4.0 * day, "score_noise": 8.0}
    document = {
        "time": f"2026-11-{day:02}T03:00:00+00:00",
        "enough": True,
        "drifted": False,
        "shifted": [],
        "rows": 100 + day,
        "refused": day,
        "bound": 0.2,
        "score": 10.0 * day,
        "score_noise": 40.0,
        "model_digest": "sha256:" + "a" * 64,
        "figures": [figure, {"name": "tag", "psi": 9.0, "watched": False}],
        "parts": [part],
        **changes,
    }
    folder = home / "drift" / f"check-{day}"
    folder.mkdir(parents=True)
    (folder / "drift.json").write_text(json.dumps(document))


def test_looks_come_in_their_order_with_what_they_found(home: Path) -> None:
    keep(home, 9, drifted=True)
    keep(home, 2)
    keep(home, 5, shifted=["mean"])
    keep(home, 7, enough=False, score=None, score_noise=None, parts=[])
    (home / "drift" / "torn").mkdir()
    (home / "drift" / "torn" / "drift.json").write_text('{"time": ')
    looks = looks_of(home)
    assert [one["outcome"] for one in looks] == ["same", "shifted", "too_few", "drifted"]
    assert [one["score"] for one in looks] == [0.5, 1.25, None, 2.25]
    assert (looks[0]["figure"], looks[0]["parts"]) == ("mean", {"site B": 1.0})


def test_the_page_draws_each_look_within_its_box_and_the_bound(home: Path) -> None:
    for day in (2, 9, 16):
        keep(home, day, drifted=day == 16)
    found = write_trends(home, home / "trends.html")
    page = (home / "trends.html").read_text()
    assert "3 drift checks from 2026-11-02 to 2026-11-16: 1 found drift" in page
    assert page.count('class="drifted"') >= 4
    dots = [dot for chart in found["charts"] for line in chart["lines"] for dot in line["dots"]]
    assert len(dots) == 3 * 5
    assert all(0 <= dot["x"] <= WIDTH and 0 <= dot["y"] <= HEIGHT for dot in dots)
    scores, _, psi, _ = found["charts"]
    assert (scores["bound"], psi["bound"]) == (1.0, 0.2)
    assert [dot["x"] for dot in scores["lines"][0]["dots"]] == [0.0, WIDTH / 2, WIDTH]


def test_labels_are_drawn_week_by_week_where_there_are_any(home: Path) -> None:
    figures = [{"sensitivity": {"value": one}, "specificity": {"value": None}} for one in (0.9, None, 0.7)]
    weeks = [{"name": f"2026-11-{n:02}", "classes": {"covid": one}} for n, one in zip((2, 9, 16), figures, strict=True)]
    folder = home / "performance" / "look"
    folder.mkdir(parents=True)
    (folder / "performance.json").write_text(json.dumps({"weeks": weeks}))
    sensitivity, specificity = write_trends(home, home / "trends.html")["charts"]
    assert [dot["value"] for dot in sensitivity["lines"][0]["dots"]] == [0.9, 0.7]
    assert specificity["lines"][0]["dots"] == []


def test_the_command_says_where_the_page_is_also_where_there_is_nothing_to_show(home: Path) -> None:
    told = json.loads(CliRunner().invoke(app, ["monitor", "trends", "--json"]).stdout)
    assert told["looks"] == 0
    assert "No drift check is kept here yet" in Path(told["page"]).read_text()
