"""Which groups of patients a test part holds: each value of each column, and each pair of values of two columns.

A pair with too few patients is counted and not kept: a test part of 300 patients has hundreds of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from imaging.evaluation.metrics import Labels
from imaging.evaluation.subgroup_schema import PairCounts

Mask = npt.NDArray[np.bool_]

COLUMNS = ("sex", "age_band", "view", "site", "manufacturer")
LEAST_PATIENTS = 30
LEAST_PATIENTS_PER_CLASS = 5
"""Below five, one resample in 150 or more lacks the class altogether."""
NOT_RECORDED = "not recorded"
AND = " and "


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Some images of a test part, and those they are held against.

    Attributes:
        column: Its name, or both as `sex and view`.
        value: Its value, or both as `F and PA`.
        mask: (N,) the group's images.
        recorded: (N,) images whose value of the column, or of both, is recorded.
        note: Why it gets no verdict; empty when it gets one.
        is_pair: Whether two columns make it.
    """

    column: str
    value: str
    mask: Mask
    recorded: Mask
    note: str
    is_pair: bool = False

    @property
    def key(self) -> str:
        """Its name among the figures."""
        return f"{self.column}={self.value}"


def find_groups(
    columns: Mapping[str, npt.NDArray], labels: Labels, patients: npt.NDArray, *, classes: tuple[str, ...]
) -> tuple[list[Group], PairCounts]:
    """Return every group of one column, then the pairs with enough patients, and the count of all pairs.

    Args:
        columns: Name to (N,) strings; `""` means not recorded.
        labels: (N,) class indices.
        patients: (N,) keys.
        classes: Names of the indices.
    """
    texts = {name: cells.astype(str) for name, cells in columns.items()}
    found = []
    for name, cells in texts.items():
        for value in np.unique(cells):
            mask = cells == value
            note = _why_not_powered(str(value), mask, labels, patients, classes)
            found.append(Group(column=name, value=str(value), mask=mask, recorded=cells != "", note=note))
    seen = {group.mask.tobytes() for group in found}
    judged = underpowered = repeated = 0
    for pair in _pairs(texts):
        note = _why_not_powered(pair.value, pair.mask, labels, patients, classes)
        if note:
            underpowered += 1
        elif pair.mask.tobytes() in seen:
            repeated += 1
        else:
            judged += 1
            seen.add(pair.mask.tobytes())
            found.append(pair)
    return found, PairCounts(judged=judged, underpowered=underpowered, repeated=repeated)


def count_by_class(
    mask: Mask, labels: Labels, patients: npt.NDArray, *, classes: tuple[str, ...]
) -> tuple[int, dict[str, int]]:
    """Count the patients of the images in `mask`: all, and those of each class."""
    per_class = {name: len(np.unique(patients[mask & (labels == index)])) for index, name in enumerate(classes)}
    return len(np.unique(patients[mask])), per_class


def _pairs(texts: Mapping[str, npt.NDArray]) -> Iterator[Group]:
    """Yield each pair of recorded values that some image has."""
    for first, second in combinations(texts, 2):
        recorded = (texts[first] != "") & (texts[second] != "")
        for one in np.unique(texts[first][recorded]):
            for other in np.unique(texts[second][recorded & (texts[first] == one)]):
                yield Group(
                    column=f"{first}{AND}{second}",
                    value=f"{one}{AND}{other}",
                    mask=(texts[first] == one) & (texts[second] == other),
                    recorded=recorded,
                    note="",
                    is_pair=True,
                )


def _why_not_powered(value: str, mask: Mask, labels: Labels, patients: npt.NDArray, classes: tuple[str, ...]) -> str:
    """Say why a group gets no verdict; empty when it gets one."""
    if not value:
        return "not a group of patients: the value was not recorded"
    count, per_class = count_by_class(mask, labels, patients, classes=classes)
    if count < LEAST_PATIENTS:
        return f"under-powered: {count} patients, {LEAST_PATIENTS} needed"
    few = [f"{many} {name}" for name, many in per_class.items() if many < LEAST_PATIENTS_PER_CLASS]
    return f"under-powered: only {', '.join(few)} patients, {LEAST_PATIENTS_PER_CLASS} of each needed" if few else ""
