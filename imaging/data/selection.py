"""What of the readable images goes into a dataset version: no picture twice, none under two labels, no empty class.

Of equal pictures on two sides of the source's own split the one that is tested on stays, so that a published test set
keeps its images and the training set loses the leak.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from imaging.data.candidates import Candidate, Problem
from imaging.data.groups import connected
from imaging.errors import DataError, EmptyDatasetError

SIDES = ("test", "calibration", "val", "train", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The images kept, those set aside, and how many patients turned out to be others."""

    kept: list[Candidate] = field(repr=False)
    problems: list[Problem] = field(repr=False)
    patients_merged: int


def select(candidates: Sequence[Candidate]) -> Selection:
    """Keep one of equal pictures; drop all where their labels differ; join patients who share one."""
    same: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        same.setdefault(str(candidate.columns["pixel_sha256"]), []).append(candidate)
    problems: list[Problem] = []
    kept = []
    for candidate in candidates:
        twins = same[str(candidate.columns["pixel_sha256"])]
        if len(twins) == 1:
            kept.append(candidate)
            continue
        stays = min(twins, key=_rank)
        if len({twin.columns["label"] for twin in twins}) > 1:
            rows = [twin.row for twin in twins if twin is not candidate]
            problems.append(_set_aside("label_conflict", candidate, f"same pixels, another label: row {_listed(rows)}"))
        elif candidate is not stays:
            problems.append(_set_aside("duplicate_pixels", candidate, f"same pixels as row {stays.row}"))
        else:
            kept.append(candidate)
    pairs = [(str(one.columns["patient"]), str(one.columns["pixel_sha256"])) for one in candidates]
    together = connected(pairs)
    others = {patient: group for patient, group in together.items() if patient != group}
    renamed = [_renamed(one, others) for one in kept]
    merged = len(others)
    return Selection(kept=renamed, problems=problems, patients_merged=merged)


def _renamed(candidate: Candidate, others: dict[str, str]) -> Candidate:
    patient = others.get(str(candidate.columns["patient"]))
    return candidate if patient is None else replace(candidate, columns={**candidate.columns, "patient": patient})


def _rank(candidate: Candidate) -> int:
    """Order equal pictures by their side of the split; of one side the first stays."""
    return SIDES.index(str(candidate.columns["split_hint"]))


def check_classes(kept: Iterable[Candidate], expected: Iterable[str], problems: Sequence[Problem]) -> None:
    """Refuse a dataset that nothing can be learned from.

    Raises:
        EmptyDatasetError: no usable image at all, or none of some class.
        DataError: a single class.
    """
    present = {str(candidate.columns["label"]) for candidate in kept}
    set_aside = len(problems)
    reasons = Counter(problem.reason for problem in problems).most_common(1)
    hint = f"; most often because: {reasons[0][0]}" if reasons else ""
    if Counter(problem.kind for problem in problems)["not_a_chest_radiograph"] > set_aside / 2:
        hint += "; photographs are read with --subject picture"
    if not present:
        raise EmptyDatasetError(f"no usable image: {set_aside} were set aside{hint}")
    empty = sorted(set(expected) - present)
    if empty:
        raise EmptyDatasetError(
            f"no usable image of class {', '.join(map(repr, empty))}; {set_aside} images were set aside{hint}"
        )
    if len(present) < 2:
        raise DataError(f"expected at least two classes, got only {next(iter(present))!r}")


def _listed(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:5])
    return shown if len(rows) <= 5 else f"{shown} and {len(rows) - 5} more"


def _set_aside(kind: str, candidate: Candidate, reason: str) -> Problem:
    label = str(candidate.columns["label"])
    return Problem(kind=kind, row=candidate.row, label=label, reason=reason, sha256=candidate.sha256)
