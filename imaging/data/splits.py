"""Who is trained on and who is tested on: by patient, stratified by label, reproducible from a seed.

No patient, and no two images with the same pixels, can be on two sides: whole groups are assigned.
"""

from pathlib import Path

import numpy as np

from imaging.data.dataset import Dataset, load_dataset
from imaging.data.folds import k_fold_splits
from imaging.data.patient_groups import Group, by_class, quotas
from imaging.data.split_parts import PARTS, Overlap, Split, find_overlap
from imaging.errors import DataError, PatientOverlapError

__all__ = ["FRACTIONS", "PARTS", "Overlap", "Split", "find_overlap", "k_fold_splits", "split_dataset", "split_on_disk"]

Fractions = tuple[float, float, float, float]
FRACTIONS: Fractions = (0.5, 0.1, 0.12, 0.28)


def split_dataset(
    dataset: Dataset,
    *,
    fractions: Fractions = FRACTIONS,
    seed: int = 0,
    keep_hints: bool = False,
) -> Split:
    """Assign every image to one part.

    Args:
        dataset: A loaded dataset version.
        fractions: Of the patients of each class, for train, val, calibration and test; they sum to 1.
        seed: The same one gives the same split.
        keep_hints: Keep the label table's own split. Where it has no calibration part, that is taken by patient out of
            val (at most half of it) and train; where it has no val part, that is taken out of train.

    Raises:
        DataError: fractions that do not sum to 1, or a class with too few patients.
        PatientOverlapError: the table's own split puts a patient on two sides.
    """
    _check(fractions)
    hints = dataset.column("split_hint").tolist() if keep_hints else []
    assigned: dict[str, list[int]] = {part: [] for part in PARTS}
    # Where the table has a split of its own, only val and calibration are drawn: by pictures.
    for name, groups in by_class(dataset, str(seed), by_picture=keep_hints):
        sides = _hinted(groups, hints, name, fractions) if keep_hints else _drawn(groups, name, fractions)
        for group, part in zip(groups, sides, strict=True):
            assigned[part].extend(group.indices)
    parts = {part: np.array(sorted(indices), np.int64) for part, indices in assigned.items()}
    return Split(parts=parts, dataset_digest=dataset.digest)


def _check(fractions: Fractions) -> None:
    if any(part < 0 for part in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"the fractions must be at least 0 and sum to 1, got {fractions}")


def _drawn(groups: list[Group], name: str, fractions: Fractions) -> list[str]:
    shares = quotas(len(groups), name, fractions)
    return [part for part, share in zip(PARTS, shares, strict=True) for _ in range(share)]


def _hinted(groups: list[Group], hints: list[str], name: str, fractions: Fractions) -> list[str]:
    """Return the sides that the table says, with the parts that it lacks taken out of those it has."""
    sides = [_said(group, hints, name) for group in groups]
    if "" in sides:
        raise DataError(
            f"{sides.count('')} patients of class {name!r} have no split in the table; leave --keep-split out"
        )
    known, fitting = set(hints), sum(fractions[:3])
    pool = sum(1 for side in sides if side in ("train", "val"))
    val, calibration = (round(pool * part / fitting) if fitting else 0 for part in fractions[1:3])
    if "calibration" not in known:
        from_val = _first(sides, "val", min(calibration, sides.count("val") // 2))
        from_train = _first(sides, "train", calibration - len(from_val))
        sides = _moved(sides, from_val | from_train, "calibration")
    if "val" not in known:
        least = 1 if fractions[1] > 0 and sides.count("train") > 1 else 0
        sides = _moved(sides, _first(sides, "train", max(val, least)), "val")
    return sides


def _said(group: Group, hints: list[str], name: str) -> str:
    said = {hints[index] for index in group.indices}
    if len(said) > 1:
        raise PatientOverlapError(
            f"the table's own split puts a patient of class {name!r} on several sides: {sorted(said)}"
        )
    return said.pop()


def _first(sides: list[str], side: str, count: int) -> set[int]:
    """Return the first `count` places that are on `side`."""
    return set([place for place, of in enumerate(sides) if of == side][:count])


def _moved(sides: list[str], places: set[int], side: str) -> list[str]:
    return [side if place in places else of for place, of in enumerate(sides)]


def split_on_disk(
    dataset_path: Path,
    out_file: Path,
    *,
    fractions: Fractions = FRACTIONS,
    seed: int = 0,
    keep_hints: bool = False,
    fold: int = 0,
    folds: int = 0,
) -> Split:
    """Split the dataset version at `dataset_path` and write the split to `out_file`.

    Args:
        dataset_path: A dataset version.
        out_file: Where the split goes.
        fractions: As in `split_dataset`; with folds, only how train, val and calibration share what is not tested on.
        seed: The same one gives the same split.
        keep_hints: Keep the label table's own split.
        fold: Which of the folds, from 0.
        folds: How many folds cross-validation has; 0 for one ordinary split.

    Raises:
        DataError: as `split_dataset` and `k_fold_splits`, or a fold that is not there.
        PatientOverlapError: a patient or picture on two sides, which would be a defect of this module.
    """
    dataset = load_dataset(dataset_path)
    if folds:
        split = _one_fold(dataset, fractions, seed, keep_hints=keep_hints, fold=fold, folds=folds)
    else:
        split = split_dataset(dataset, fractions=fractions, seed=seed, keep_hints=keep_hints)
    overlap = find_overlap(dataset, split)
    if overlap.patients or overlap.duplicates:
        raise PatientOverlapError(f"{overlap.patients} patients and {overlap.duplicates} pictures are on two sides")
    split.save(out_file)
    return split


def _one_fold(dataset: Dataset, fractions: Fractions, seed: int, *, keep_hints: bool, fold: int, folds: int) -> Split:
    _check(fractions)
    if keep_hints:
        raise DataError("the table's own split and cross-validation exclude each other; choose one")
    if not 0 <= fold < folds:
        raise DataError(f"expected a fold from 0 to {folds - 1}, got {fold}")
    val, calibration = (part / max(sum(fractions[:3]), 1e-9) for part in fractions[1:3])
    splits = k_fold_splits(dataset, folds=folds, seed=seed, calibration_share=calibration, val_share=val)
    return splits[fold]
