"""Cross-validation: every image is tested on exactly once, and no patient is on two sides of any fold."""

import numpy as np

from imaging.data.dataset import Dataset
from imaging.data.patient_groups import Group, by_class, place, quotas
from imaging.data.split_parts import PARTS, Split
from imaging.errors import DataError


def k_fold_splits(
    dataset: Dataset, *, folds: int = 5, seed: int = 0, calibration_share: float = 0.12, val_share: float = 0.12
) -> list[Split]:
    """Return one split a fold. Each class's patients are spread evenly over the folds' test parts.

    The table's own split is not looked at.

    Args:
        dataset: A loaded dataset version.
        folds: How many, from 2.
        seed: The same one gives the same folds.
        calibration_share: Of the patients of each class who are not tested on, for calibration; 0 for none.
        val_share: The same for validation.

    Raises:
        DataError: shares that leave nothing to train on, or a class with too few patients.
    """
    _check(folds, calibration_share, val_share)
    classes = by_class(dataset, str(seed))
    for name, groups in classes:
        if len(groups) < folds:
            raise DataError(f"class {name!r} has {len(groups)} patients; {folds} folds need at least {folds}")
    shares = (1 - val_share - calibration_share, val_share, calibration_share)
    return [_fold(dataset, classes, fold=fold, folds=folds, seed=seed, shares=shares) for fold in range(folds)]


def _check(folds: int, calibration_share: float, val_share: float) -> None:
    if folds < 2:
        raise DataError(f"expected at least 2 folds, got {folds}")
    if calibration_share < 0 or val_share < 0 or calibration_share + val_share >= 1:
        raise DataError(
            f"the shares of val and calibration must be at least 0 and leave some to train on, "
            f"got {val_share} and {calibration_share}"
        )


def _fold(
    dataset: Dataset,
    classes: list[tuple[str, list[Group]]],
    *,
    fold: int,
    folds: int,
    seed: int,
    shares: tuple[float, float, float],
) -> Split:
    assigned: dict[str, list[int]] = {part: [] for part in PARTS}
    for label, (name, groups) in enumerate(classes):
        # Where a class's patients cannot be divided evenly, another fold gets one more in each class.
        tested = {i for i in range(len(groups)) if (i + label) % folds == fold}
        rest = [group for i, group in enumerate(groups) if i not in tested]
        rest.sort(key=lambda group: place(f"{seed}/{fold}", group.name))
        parts = [
            part for part, quota in zip(PARTS, quotas(len(rest), name, shares), strict=False) for _ in range(quota)
        ]
        for group, part in zip(rest, parts, strict=True):
            assigned[part].extend(group.indices)
        for i in tested:
            assigned["test"].extend(groups[i].indices)
    indices = {part: np.array(sorted(members), np.int64) for part, members in assigned.items()}
    return Split(parts=indices, dataset_digest=dataset.digest)
