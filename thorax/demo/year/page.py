"""The page that tells the year: what happened, what the watch said of it and when, and what followed."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from imaging.atomic import write_text
from thorax.demo.year import hospital

WIDTH, HEIGHT, BAND = 1040, 130, 16
LOWEST = 0.4
MOST = 6.0
"""Times the noise, from which a bar ends at the top."""
SIGNS = {
    "drift": ("drift", "#c0392b"),
    "performance": ("labels say worse", "#8e44ad"),
    "retrained": ("retrained", "#2e7d5b"),
    "refused": ("refused by the plan", "#7f8c9a"),
    "approved": ("approved", "#1f5fa8"),
    "corrected": ("labels corrected", "#d68910"),
}


def write_year_page(
    path: Path, weeks: Sequence[dict[str, Any]], happened: Sequence[dict[str, Any]], judged: dict[str, Any]
) -> Path:
    """Write the page; return where it is."""
    from jinja2 import Environment

    template = resources.files("thorax").joinpath("demo", "year", "year.html").read_text(encoding="utf-8")
    signs = [
        {**one, "x": _x(one["week"] + 0.5), "y": list(SIGNS).index(one["kind"]), "colour": SIGNS[one["kind"]][1]}
        for one in happened
    ]
    told = {
        "width": WIDTH,
        "height": HEIGHT,
        "band": BAND,
        "months": [{"x": _x(month * hospital.WEEKS / 12), "name": month + 1} for month in range(12)],
        "events": [
            {"x": _x(one.weeks.start), "wide": _x(one.weeks.stop) - _x(one.weeks.start), "name": one.name}
            for one in hospital.EVENTS
        ],
        "bars": [_bar(one) for one in weeks],
        "noise_y": round(HEIGHT * (1 - 1 / MOST), 1),
        "points": [_point(one) for one in weeks if (one.get("sensitivity") or {}).get("value") is not None],
        "estimates": " ".join(
            f"{_x(one['week'] + 0.5)},{_y(one['estimated'])}" for one in weeks if one.get("estimated") is not None
        ),
        "ticks": [{"y": _y(tick), "text": f"{tick:g}"} for tick in (0.4, 0.6, 0.8, 1.0)],
        "signs": signs,
        "rows": [{"name": name, "colour": colour, "y": place} for place, (name, colour) in enumerate(SIGNS.values())],
        "happened": [{**one, "sign": SIGNS[one["kind"]][0]} for one in happened],
        "judged": judged,
        "images": sum(one["rows"] for one in weeks),
    }
    write_text(path, Environment(autoescape=True).from_string(template).render(told))
    return path


def _x(week: float) -> float:
    return round(WIDTH * week / hospital.WEEKS, 1)


def _y(value: float) -> float:
    return round(HEIGHT * (1 - (max(value, LOWEST) - LOWEST) / (1 - LOWEST)), 1)


def _bar(one: dict[str, Any]) -> dict[str, Any]:
    tall = round(HEIGHT * min(one["worst"], MOST) / MOST, 1)
    text = f"week {one['week'] + 1}: {one['rows']} images, version {one['version']}, {one['worst']:.1f} times the noise"
    return {"x": _x(one["week"] + 0.15), "wide": _x(0.7), "tall": tall, "drifted": one["drifted"], "text": text}


def _point(one: dict[str, Any]) -> dict[str, Any]:
    found = one["sensitivity"]
    low, high = (found["value"] if end is None else end for end in (found["low"], found["high"]))
    text = f"week {one['week'] + 1}: {found['value']:.2f} ({low:.2f} to {high:.2f}), {one['labelled']} labels"
    return {"x": _x(one["week"] + 0.5), "y": _y(found["value"]), "low": _y(low), "high": _y(high), "text": text}
