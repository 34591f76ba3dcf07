"""What the model card tells of an evaluation's sections: their figures as rows, whatever sections there are.

The report shows each section in full; the card names its figures and leaves the rest out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TITLES = {
    "robustness": "Robustness",
    "uncertainty": "Uncertainty and referral",
    "shortcuts": "Shortcuts",
    "explanation": "Explanation",
    "export": "Export",
}
"""Sections first in this order; any other is named by its field."""
TOLD_ELSEWHERE = {
    "floors",
    "operating_points",
    "operating_rules",
    "per_class",
    "overall",
    "calibration",
    "source_confounding",
    "champion",
    "latency",
    "overlap",
    "digests",
    "subgroup_pairs",
}
"""Parts of an evaluation that the card has a place of its own for, or that are no measurement."""
NAMES = ("title", "name", "corruption", "group", "label", "precision", "epsilon", "share")
"""Fields by which a row of a list is told from its neighbours, the first that is there."""
DETAILS = ("level", "severity")
LEFT_TO_THE_REPORT = {"per_class", "model_per_class", "conditional", "conditional_per_class", "points", "bins", "cases"}
"""Parts of a section that only the report shows."""
LONGEST = 24
"""Rows of one section."""


@dataclass(frozen=True, slots=True)
class CloserLook:
    """One section: its title, its rows of a name and a figure, its sentences, and how many rows were left out."""

    title: str
    rows: tuple[tuple[str, str], ...]
    statements: tuple[str, ...]
    left_out: int


def closer_looks(evaluation: Mapping[str, Any]) -> list[CloserLook]:
    """Return what there is to tell of each section in `evaluation.json`; a section that is absent is not told."""
    there = [name for name, part in evaluation.items() if isinstance(part, Mapping) and name not in TOLD_ELSEWHERE]
    ordered = [*(name for name in TITLES if name in there), *(name for name in there if name not in TITLES)]
    return [_look(TITLES.get(name) or _words(name).capitalize(), evaluation[name]) for name in ordered]


def figure_text(figure: Mapping[str, float | None]) -> str:
    """Write a figure of `evaluation.json` as `0.931 (0.902 to 0.955)`; `missing` where it is."""
    if figure["value"] is None:
        return "missing"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3f} (no interval)"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _look(title: str, section: Mapping[str, Any]) -> CloserLook:
    rows = tuple(_rows(section, ""))
    statements = section.get("statements") or section.get("sentences") or ()
    told = tuple(str(one) for one in ([statements] if isinstance(statements, str) else statements))
    return CloserLook(title, rows[:LONGEST], told, max(0, len(rows) - LONGEST))


def _rows(part: Any, path: str) -> Iterator[tuple[str, str]]:
    """Walk down to the figures with an interval that were measured."""
    if isinstance(part, Mapping):
        if {"value", "low", "high"} <= part.keys():
            if part["value"] is not None:
                yield path, figure_text(part)  # type: ignore[arg-type]  # as those three keys say
            return
        for name, one in part.items():
            if name in LEFT_TO_THE_REPORT:
                continue
            yield from _rows(one, f"{path}, {_words(name)}" if path else _words(name))
    elif isinstance(part, list | tuple):
        for one in part:
            if isinstance(one, Mapping):
                yield from _rows(one, _name_of(one, path))


def _name_of(row: Mapping[str, Any], path: str) -> str:
    """Name a row by its own words; by its list's too where it is told from its neighbours by a number only."""
    name = next((row[key] for key in NAMES if row.get(key) not in (None, "")), "")
    detail = next((str(row[key]) for key in DETAILS if row.get(key) not in (None, "")), "")
    text = f"{name} {detail}".strip().replace("|", "/")
    return text if isinstance(name, str) and text else f"{path} {text}".strip()


def _words(name: str) -> str:
    return name.replace("_", " ").replace("auroc", "AUROC").replace("|", "/")
