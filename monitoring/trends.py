"""The looks of weeks on one page: what each drift check and the last look at labels found, as lines over time.

Nothing is computed anew: a page is drawn from the `drift.json` and `performance.json` that the looks left.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from imaging.atomic import write_text

WIDTH, HEIGHT = 640, 120
"""Of a drawing, in its own units."""
LOWEST = 0.5
"""Of a share by labels; what lies below is drawn on the bottom line."""
MOST_LOOKS = 400
Look = dict[str, Any]


def looks_of(home: Path) -> list[Look]:
    """Return the drift checks that a home keeps, oldest first; a file that is no check is passed over."""
    found = []
    for path in (home / "drift").glob("*/drift.json"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            found.append(_look(document, path.parent.name))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda one: one["time"])[-MOST_LOOKS:]


def _look(document: dict[str, Any], name: str) -> Look:
    """Return what the page needs of one check."""
    watched = [one for one in document["figures"] if one.get("watched", True)]
    most = max(watched, key=lambda one: one["psi"], default=None)
    scores = {
        f"{part['column']} {part['value']}": _ratio(part["score"], part["score_noise"]) for part in document["parts"]
    }
    outcome = "too_few" if not document["enough"] else "drifted" if document["drifted"] else "same"
    return {
        "name": name,
        "time": document["time"],
        "outcome": "shifted" if outcome == "same" and document["shifted"] else outcome,
        "rows": int(document["rows"]),
        "refused": int(document["refused"]),
        "bound": float(document["bound"]),
        "psi": float(most["psi"]) if most else 0.0,
        "figure": most["name"] if most else "",
        "score": _ratio(document["score"], document["score_noise"]),
        "parts": scores,
        "model": document["model_digest"] or "",
    }


def _ratio(score: float | None, noise: float | None) -> float | None:
    """Return how much beyond chance a combined score is: above 1 it is."""
    return float(score) / float(noise) if score is not None and noise else None


def weeks_of(home: Path) -> list[dict[str, Any]]:
    """Return the weeks of the last look at labels; none where there was none."""
    for path in sorted((home / "performance").glob("*/performance.json"), reverse=True):
        try:
            return list(json.loads(path.read_text(encoding="utf-8"))["weeks"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return []


def write_trends(home: Path, out: Path) -> dict[str, Any]:
    """Draw the page to `out`; return what is on it.

    Args:
        home: The home folder, with the looks' folders `drift` and `performance`.
        out: An .html file.
    """
    from jinja2 import Environment

    looks, weeks = looks_of(home), weeks_of(home)
    document = {"looks": looks, "weeks": weeks, "charts": [*_charts(looks), *_of_weeks(weeks)]}
    template = resources.files("monitoring").joinpath("trends.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True).from_string(template).render(document, width=WIDTH, height=HEIGHT)
    write_text(out, page)
    return document


def _charts(looks: Sequence[Look]) -> list[dict[str, Any]]:
    if not looks:
        return []
    places = _places([one["time"] for one in looks])
    sites = sorted({name for one in looks for name in one["parts"]})
    bound = looks[-1]["bound"]
    marks = [one["outcome"] for one in looks]

    def chart(title: str, line: float | None, values: dict[str, list[float | None]]) -> dict[str, Any]:
        return _chart(title, line, values, places, marks, looks[0]["time"], looks[-1]["time"])

    return [
        chart("Combined score, beside what chance stays below", 1.0, {"all images": [one["score"] for one in looks]}),
        *(
            [
                chart(
                    "The same, by site and manufacturer",
                    1.0,
                    {name: [one["parts"].get(name) for one in looks] for name in sites},
                )
            ]
            if sites
            else []
        ),
        chart("Largest PSI of a watched figure", bound, {"PSI": [one["psi"] for one in looks]}),
        chart(
            "Images, and requests refused",
            None,
            {"images": [float(one["rows"]) for one in looks], "refused": [float(one["refused"]) for one in looks]},
        ),
    ]


def _of_weeks(weeks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return sensitivity and specificity of each class, week by week, by labels."""
    if not weeks:
        return []
    times, classes = [str(week["name"]) for week in weeks], sorted({name for week in weeks for name in week["classes"]})
    places, marks = _places(times), ["same"] * len(weeks)

    def values(figure: str) -> dict[str, list[float | None]]:
        return {name: [_value(week, name, figure) for week in weeks] for name in classes}

    return [
        _chart(
            f"{figure.capitalize()} by labels",
            None,
            values(figure),
            places,
            marks,
            times[0],
            times[-1],
            floor=LOWEST,
            top=1.0,
        )
        for figure in ("sensitivity", "specificity")
    ]


def _value(week: dict[str, Any], name: str, figure: str) -> float | None:
    found = week["classes"].get(name) or {}
    value = (found.get(figure) or {}).get("value")
    return None if value is None else float(value)


def _places(times: Sequence[str]) -> list[float]:
    """Return where moments lie between 0 and `WIDTH`."""
    seconds = [datetime.fromisoformat(one).timestamp() for one in times]
    span = seconds[-1] - seconds[0]
    return [WIDTH / 2 if not span else round(WIDTH * (one - seconds[0]) / span, 1) for one in seconds]


def _chart(
    title: str,
    line: float | None,
    values: dict[str, list[float | None]],
    places: Sequence[float],
    marks: Sequence[str],
    begin: str,
    end: str,
    *,
    floor: float = 0.0,
    top: float | None = None,
) -> dict[str, Any]:
    """Return a drawing: for each name a line, interrupted where there is no figure, and a mark for each look."""
    known = [one for row in values.values() for one in row if one is not None]
    top = top or 1.1 * max([*known, line or 0.0, 1e-9])

    def height(value: float) -> float:
        return round(HEIGHT * (1 - max(value - floor, 0.0) / (top - floor)), 1)

    lines = []
    for index, (name, row) in enumerate(values.items()):
        dots = [
            {"x": x, "y": height(one), "value": one, "mark": mark}
            for x, one, mark in zip(places, row, marks, strict=True)
            if one is not None
        ]
        lines.append({"name": name, "hue": (index * 97 + 210) % 360, "dots": dots})
    place = None if line is None else height(line)
    return {
        "title": title,
        "line": place,
        "bound": line,
        "top": top,
        "lines": lines,
        "begin": begin[:10],
        "end": end[:10],
    }
