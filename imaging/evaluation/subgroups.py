"""How the model does for men and women, the young and the old, each view and each site.

A group with too few patients is shown and called under-powered: silence would read as "no gap", a verdict as noise.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from imaging.evaluation.bootstrap import percentile_interval, resample
from imaging.evaluation.metrics import Array, Labels, auroc_per_class, one_weighting
from imaging.evaluation.schema import Figure, Subgroup

COLUMNS = ("sex", "age_band", "view", "site")
LEAST_PATIENTS = 30
LEAST_PATIENTS_PER_CLASS = 5
"""Below five, one resample in 150 or more lacks the class altogether."""
NOT_RECORDED = "not recorded"


def evaluate_subgroups(
    probabilities: Array,
    labels: Labels,
    patients: npt.NDArray,
    columns: Mapping[str, npt.NDArray],
    *,
    classes: tuple[str, ...],
    resamples: int,
    seed: int,
) -> tuple[Subgroup, ...]:
    """Compare each value of each column with all images whose value is recorded, by paired resamples of all patients.

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
    """
    groups = [(name, str(value)) for name, cells in columns.items() for value in np.unique(cells.astype(str))]
    masks = {group: columns[group[0]].astype(str) == group[1] for group in groups}

    def area(mask: npt.NDArray[np.bool_], weights: Array) -> Array:
        if not mask.any():
            return np.full(len(weights), np.nan)
        return auroc_per_class(probabilities[mask], labels[mask], weights[:, mask]).mean(axis=1)

    def statistic(weights: Array) -> dict[str, Array]:
        recorded = {name: area(cells.astype(str) != "", weights) for name, cells in columns.items()}
        found = {}
        for (name, value), mask in masks.items():
            found[f"{name}={value}"] = area(mask, weights)
            found[f"{name}={value} gap"] = recorded[name] - found[f"{name}={value}"]
        return found

    if not groups:
        return ()
    values = statistic(one_weighting(len(labels)))
    drawn = resample(statistic, patients, resamples=resamples, seed=seed)
    found = {key: percentile_interval(float(values[key][0]), drawn[key]) for key in values}
    return tuple(_subgroup(group, masks[group], labels, patients, classes, found) for group in groups)


def _subgroup(
    group: tuple[str, str],
    mask: npt.NDArray[np.bool_],
    labels: Labels,
    patients: npt.NDArray,
    classes: tuple[str, ...],
    found: Mapping[str, Figure],
) -> Subgroup:
    column, value = group
    count = len(np.unique(patients[mask]))
    per_class = {name: len(np.unique(patients[mask & (labels == index)])) for index, name in enumerate(classes)}
    note = _why_not_powered(value, count, per_class)
    return Subgroup(
        column=column,
        value=value or NOT_RECORDED,
        n_images=int(mask.sum()),
        n_patients=count,
        patients_per_class=per_class,
        powered=not note,
        note=note,
        macro_auroc=found[f"{column}={value}"],
        gap=found[f"{column}={value} gap"],
    )


def _why_not_powered(value: str, patients: int, per_class: Mapping[str, int]) -> str:
    """Say why a group gets no verdict; empty when it gets one."""
    if not value:
        return "not a group of patients: the value was not recorded"
    if patients < LEAST_PATIENTS:
        return f"under-powered: {patients} patients, {LEAST_PATIENTS} needed"
    few = [f"{count} {name}" for name, count in per_class.items() if count < LEAST_PATIENTS_PER_CLASS]
    return f"under-powered: only {', '.join(few)} patients, {LEAST_PATIENTS_PER_CLASS} of each needed" if few else ""
