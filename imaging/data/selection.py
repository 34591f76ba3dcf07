"""What of the readable images goes into a dataset version: no picture twice, none under two labels, no empty class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from imaging.data.candidates import Candidate, Problem
from imaging.data.groups import connected
from imaging.errors import DataError, EmptyDatasetError


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The images kept, those set aside, and how many patients turned out to be others."""

    kept: list[Candidate] = field(repr=False)
    problems: list[Problem] = field(repr=False)
    patients_merged: int


def select(candidates: Sequence[Candidate]) -> Selection:
    """Keep the first of equal pictures; drop all where their labels differ; join patients who share one."""
    same: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        same.setdefault(str(candidate.columns["pixel_sha256"]), []).append(candidate)
    problems: list[Problem] = []
    kept = []
    for candidate in candidates:
        twins = same[str(candidate.columns["pixel_sha256"])]
        if len({twin.columns["label"] for twin in twins}) > 1:
            rows = [twin.row for twin in twins if twin is not candidate]
            problems.append(_set_aside("label_conflict", candidate, f"same pixels, another label: row {_listed(rows)}"))
        elif candidate is not twins[0]:
            problems.append(_set_aside("duplicate_pixels", candidate, f"same pixels as row {twins[0].row}"))
        else:
            kept.append(candidate)
    pairs = [(str(one.columns["patient"]), str(one.columns["pixel_sha256"])) for one in candidates]
    together = connected(pairs)
    renamed = [replace(one, columns={**one.columns, "patient": together[str(one.columns["patient"])]}) for one in kept]
    merged = sum(1 for patient, group in together.items() if patient != group)
    return Selection(kept=renamed, problems=problems, patients_merged=merged)


def check_classes(kept: Iterable[Candidate], expected: Iterable[str], set_aside: int) -> None:
    """Refuse a dataset that nothing can be learned from.

    Raises:
        EmptyDatasetError: no usable image at all, or none of some class.
        DataError: a single class.
    """
    present = {str(candidate.columns["label"]) for candidate in kept}
    if not present:
        raise EmptyDatasetError(
            f"no usable image: {set_aside} were set aside; look at their reasons with `thorax data ingest`"
        )
    empty = sorted(set(expected) - present)
    if empty:
        raise EmptyDatasetError(
            f"no usable image of class {', '.join(map(repr, empty))}; {set_aside} images were set aside"
        )
    if len(present) < 2:
        raise DataError(f"expected at least two classes, got only {next(iter(present))!r}")


def _listed(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:5])
    return shown if len(rows) <= 5 else f"{shown} and {len(rows) - 5} more"


def _set_aside(kind: str, candidate: Candidate, reason: str) -> Problem:
    label = str(candidate.columns["label"])
    return Problem(kind=kind, row=candidate.row, label=label, reason=reason, sha256=candidate.sha256)
