"""What a look at performance leaves behind: performance.json for machines and performance.html for people."""

import json
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from imaging.atomic import new_directory, write_text
from imaging.evaluation.figure import MISSING, Figure
from monitoring.truth.performance import Alarm, ClassPerformance, Known, Performance, Stretch

SCHEMA_VERSION = 1
WIDTH, HEIGHT, LOWEST = 560, 150, 0.4
"""Of a drawing, in its own units; what lies below `LOWEST` is drawn on the bottom line."""
DRAWN = ("sensitivity", "specificity", "auroc")


def document_of(found: Performance, known: Known, *, since: datetime, model_digest: str) -> dict[str, Any]:
    """Return all figures as one document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "since": since.isoformat(timespec="seconds"),
        "model_digest": model_digest,
        "verdict": verdict(found),
        "fell": bool(found.alarms),
        "whole": _stretch(found.whole),
        "weeks": [_stretch(one) for one in found.weeks],
        "sites": [_stretch(one) for one in found.sites],
        "tests": [_test(one) for one in found.tests],
        "released": {
            name: {figure: value.model_dump() for figure, value in figures.items()}
            for name, figures in known.released.items()
        },
        "left_out": {
            "disputed": found.answers.disputed,
            "no_class_of_the_model": found.answers.unusable,
            "no_answer_of_this_span": found.answers.unknown,
        },
    }


def verdict(found: Performance) -> str:
    """Say the outcome in a sentence."""
    if not found.whole.labelled:
        return f"No labels yet for {found.whole.answers} answered images; figures are estimates."
    labelled = f"{found.whole.labelled} of {found.whole.answers} answered images have a label"
    if found.alarms:
        told = "; ".join(f"{one.name} {one.rate:.0%} of {one.outcomes}" for one in found.alarms)
        return f"Worse than at the release, beyond chance: {told}. {labelled}."
    return f"No error rate is higher than the release's, beyond chance. {labelled}."


def write_performance(found: Performance, known: Known, out: Path, *, since: datetime, model_digest: str) -> Path:
    """Write the report to `out`, whole or not at all; return the page."""
    from jinja2 import Environment

    document = document_of(found, known, since=since, model_digest=model_digest)
    template = resources.files("monitoring").joinpath("truth", "performance.html").read_text(encoding="utf-8")
    drawings = [_drawing(name, figure, found, known) for name in known.classes for figure in DRAWN]
    page = Environment(autoescape=True).from_string(template).render(document, drawings=drawings)
    with new_directory(out) as folder:
        write_text(folder / "performance.json", json.dumps(document, indent=1) + "\n")
        write_text(folder / "performance.html", page)
    return out / "performance.html"


def _stretch(one: Stretch) -> dict[str, Any]:
    return {
        "name": one.name,
        "answers": one.answers,
        "labelled": one.labelled,
        "accuracy": one.accuracy.model_dump(),
        "calibration_error": one.calibration_error,
        "calibration_chance": one.calibration_chance,
        "classes": {name: _class(found) for name, found in one.classes.items()},
    }


def _class(one: ClassPerformance) -> dict[str, Any]:
    estimated = {name: getattr(one.estimated, name) for name in (*DRAWN, "prevalence")}
    figures = {name: getattr(one, name).model_dump() for name in DRAWN}
    return {"positives": one.positives, "negatives": one.negatives, **figures, "estimated": estimated}


def _test(one: Alarm) -> dict[str, Any]:
    return {
        "site": one.site,
        "class": one.label,
        "what": one.what,
        "outcomes": one.outcomes,
        "rate": one.rate,
        "null_rate": one.test.null_rate,
        "level": one.test.level,
        "p_value": one.test.p_value,
        "alarm_at": one.test.alarm_at,
    }


def _drawing(name: str, figure: str, found: Performance, known: Known) -> dict[str, Any]:
    """Return a figure over the weeks: points with intervals, the estimate beside them, the release as a band."""
    step = WIDTH / max(len(found.weeks), 1)
    points, dashes = [], []
    for place, week in enumerate(found.weeks):
        x = round((place + 0.5) * step, 1)
        own = week.classes[name]
        value: Figure = getattr(own, figure)
        if value.value is not None:
            ends = [value.value if end is None else end for end in (value.low, value.high)]
            points.append(
                {"x": x, "y": _y(value.value), "low": _y(ends[0]), "high": _y(ends[1]), "text": _text(week, value)}
            )
        estimated = getattr(own.estimated, figure)
        if estimated is not None:
            dashes.append(f"{x},{_y(estimated)}")
    released = known.released.get(name, {}).get(figure, MISSING)
    band = None
    if released.low is not None and released.high is not None:
        band = {"y": _y(released.high), "tall": round(_y(released.low) - _y(released.high), 1)}
    return {
        "name": f"{name}: {figure}",
        "width": WIDTH,
        "height": HEIGHT,
        "points": points,
        "estimates": " ".join(dashes),
        "band": band,
        "ticks": [{"y": _y(tick), "text": f"{tick:g}"} for tick in (0.4, 0.6, 0.8, 1.0)],
    }


def _y(value: float) -> float:
    return round(HEIGHT * (1 - (max(value, LOWEST) - LOWEST) / (1 - LOWEST)), 1)


def _text(week: Stretch, value: Figure) -> str:
    ends = "" if value.low is None else f" ({value.low:.2f} to {value.high:.2f})"
    return f"week of {week.name}: {value.value:.2f}{ends}, {week.labelled} of {week.answers} labelled"
