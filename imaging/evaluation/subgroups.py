"""How the model does for men and women, the young and the old, each view, site and device, and each pair of these.

A group with too few patients is shown and called under-powered: silence would read as "no gap", a verdict as noise.
All groups with enough are judged together, since the worst of many looks bad by chance alone; pairs among
themselves, or their number would hide the gap of a whole sex or site.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from imaging.evaluation.bootstrap import percentile_interval, resample
from imaging.evaluation.metrics import Array, Labels, auroc_per_class, one_weighting, ratio
from imaging.evaluation.multiplicity import judge_together
from imaging.evaluation.patient_groups import (
    COLUMNS,
    LEAST_PATIENTS,
    NOT_RECORDED,
    Group,
    Mask,
    count_by_class,
    find_groups,
)
from imaging.evaluation.schema import Figure, Subgroup
from imaging.evaluation.subgroup_schema import GroupSensitivity, PairCounts

__all__ = ["COLUMNS", "LEAST_PATIENTS", "count_pairs", "evaluate_subgroups"]

LEAST_SICK = 20
"""Patients of a class below whom its sensitivity in a group is under-powered: one more or less is five points."""


def count_pairs(
    labels: Labels, patients: npt.NDArray, columns: Mapping[str, npt.NDArray], *, classes: tuple[str, ...]
) -> PairCounts:
    """Count the groups of two columns; arguments as for `evaluate_subgroups`."""
    return find_groups(columns, labels, patients, classes=classes)[1]


def evaluate_subgroups(
    probabilities: Array,
    labels: Labels,
    patients: npt.NDArray,
    columns: Mapping[str, npt.NDArray],
    *,
    classes: tuple[str, ...],
    resamples: int,
    seed: int,
    operating_points: Mapping[str, float] | None = None,
) -> tuple[Subgroup, ...]:
    """Compare each group with all images whose value is recorded, by paired resamples of all patients.

    Where the value is missing, the patients are often others (another hospital, children): a group is held
    against those it can be told apart from, and whoever is missing is shown beside them.

    Args:
        probabilities: (N, C).
        labels: (N,) class indices.
        patients: (N,) keys.
        columns: Name to (N,) strings; `""` means not recorded.
        classes: Names, in the order of the columns of `probabilities`.
        resamples: Number of draws.
        seed: Of the draws.
        operating_points: Threshold of each class whose sensitivity is asked for.

    Returns:
        The groups of one column, then those pairs of two that have enough patients.
    """
    groups, _ = find_groups(columns, labels, patients, classes=classes)
    if not groups:
        return ()
    points = {name: point for name, point in (operating_points or {}).items() if name in classes}

    def statistic(weights: Array) -> dict[str, Array]:
        found = areas(probabilities, labels, groups, weights)
        for name, point in points.items():
            index = classes.index(name)
            sick = labels == index
            found |= _sensitivities(name, sick, sick & (probabilities[:, index] >= point), groups, weights)
        return found

    values = statistic(one_weighting(len(labels)))
    drawn = resample(statistic, patients, resamples=resamples, seed=seed)
    found = {key: percentile_interval(float(values[key][0]), drawn[key]) for key in values}
    judged = {
        key: figures
        for kind in (False, True)
        for key, figures in _judge([one for one in groups if one.is_pair is kind and not one.note], values, drawn)
    }
    return tuple(
        _subgroup(group, labels, patients, classes, tuple(points), found, judged.get(group.key, {})) for group in groups
    )


def areas(probabilities: Array, labels: Labels, groups: list[Group], weights: Array) -> dict[str, Array]:
    """Return each group's macro AUROC by its key, and `key gap` to all whose value is recorded, each (R,)."""
    known: dict[bytes, Array] = {}

    def area(mask: Mask) -> Array:
        if not mask.any():
            return np.full(len(weights), np.nan)
        if mask.tobytes() not in known:
            known[mask.tobytes()] = auroc_per_class(probabilities[mask], labels[mask], weights[:, mask]).mean(axis=1)
        return known[mask.tobytes()]

    found = {}
    for group in groups:
        found[group.key] = area(group.mask)
        found[f"{group.key} gap"] = area(group.recorded) - found[group.key]
    return found


def _sensitivities(name: str, sick: Mask, called: Mask, groups: list[Group], weights: Array) -> dict[str, Array]:
    """Return each group's sensitivity for one class, and its gap; `called` are sick images that were."""
    own = np.stack([group.mask for group in groups], axis=1)
    all_recorded = np.stack([group.recorded for group in groups], axis=1)

    def share(members: Mask) -> Array:
        return ratio(
            weights[:, sick] @ (members & called[:, None])[sick].astype(float), weights[:, sick] @ members[sick]
        )

    mine, theirs = share(own), share(all_recorded)
    found = {}
    for index, group in enumerate(groups):
        found[f"{group.key} {name}"] = mine[:, index]
        found[f"{group.key} {name} gap"] = theirs[:, index] - mine[:, index]
    return found


def _judge(
    groups: list[Group], values: Mapping[str, Array], drawn: Mapping[str, Array]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield for each of the groups, judged together, its key and its figures."""
    keys = [f"{group.key} gap" for group in groups]
    if not keys:
        return
    found = judge_together(np.array([values[key][0] for key in keys]), np.stack([drawn[key] for key in keys], axis=1))
    for group, interval, p_value in zip(groups, found.intervals, found.p_above, strict=True):
        yield group.key, {"gap_together": interval, "adjusted_p": p_value}


def _subgroup(
    group: Group,
    labels: Labels,
    patients: npt.NDArray,
    classes: tuple[str, ...],
    critical: tuple[str, ...],
    found: Mapping[str, Figure],
    judged: Mapping[str, Any],
) -> Subgroup:
    count, per_class = count_by_class(group.mask, labels, patients, classes=classes)
    return Subgroup(
        column=group.column,
        value=group.value or NOT_RECORDED,
        is_pair=group.is_pair,
        n_images=int(group.mask.sum()),
        n_patients=count,
        patients_per_class=per_class,
        powered=not group.note,
        note=group.note,
        macro_auroc=found[group.key],
        gap=found[f"{group.key} gap"],
        sensitivity={
            name: GroupSensitivity(
                n_patients=per_class[name],
                powered=bool(group.value) and per_class[name] >= LEAST_SICK,
                sensitivity=found[f"{group.key} {name}"],
                gap=found[f"{group.key} {name} gap"],
            )
            for name in critical
        },
        **judged,
    )
