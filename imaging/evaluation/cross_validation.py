"""What k folds say together: each fold's figures, their mean and spread, and the pooled out-of-fold answers.

Every image is in the test part of one fold, so the pooled answers are of the whole dataset, each by a model that never
saw that patient. Their intervals resample patients and hold for the recipe, not for one of its models; the spread over
folds is of overlapping training parts, and so is no standard error (Bengio & Grandvalet 2004).
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from imaging import atomic
from imaging.config import Frozen
from imaging.errors import DataError
from imaging.evaluation import metrics
from imaging.evaluation.bootstrap import RESAMPLES, intervals
from imaging.evaluation.fold_plot import draw_folds
from imaging.evaluation.metrics import Array, Labels
from imaging.evaluation.report import render_cross_validation
from imaging.evaluation.schema import Evaluation, Figure

if TYPE_CHECKING:
    import pyarrow as pa

OVERALL = ("macro_auroc", "balanced_accuracy", "accuracy", "brier", "nll")
PER_CLASS = ("auroc", "sensitivity", "specificity", "ppv", "npv", "f1")


class FoldFigure(Frozen):
    """One figure over the folds."""

    folds: tuple[float | None, ...]
    mean: float | None
    std: float | None
    """Of the folds, with n - 1; a missing fold leaves it and the mean out."""
    pooled: Figure
    """Of all out-of-fold answers, with its 95 % patient-level bootstrap interval."""


class FoldSize(Frozen):
    """One fold's test part, and the split it is of."""

    n_images: int
    n_patients: int
    split: str
    """Digest."""


class CrossValidation(Frozen):
    """A recipe over k folds."""

    recipe: str
    architecture: str
    classes: tuple[str, ...]
    dataset: str
    """Digest."""
    folds: tuple[FoldSize, ...]
    n_images: int
    n_patients: int
    resamples: int
    seed: int
    overall: dict[str, FoldFigure] = Field(default_factory=dict)
    per_class: dict[str, dict[str, FoldFigure]] = Field(default_factory=dict)
    """By class, then by figure; at each fold's own operating points."""


class _Fold(Frozen):
    evaluation: Evaluation
    folder: Path


def summarise_folds_on_disk(
    folders: Sequence[Path], out: Path, *, resamples: int = RESAMPLES, seed: int = 0
) -> CrossValidation:
    """Summarise the folds' evaluations.

    Args:
        folders: What `evaluate_on_disk` wrote for each fold.
        out: Folder for `cross_validation.json`, `.html`, `.png` and the pooled `predictions.parquet`.
        resamples: Bootstrap draws of patients.
        seed: Of the draws.

    Raises:
        DataError: for fewer than two folds, folds of different recipes or datasets, or a patient tested twice.
    """
    folds = [_read(folder) for folder in folders]
    _check_belong_together(folds)
    import pyarrow as pa

    tables = [_predictions(fold) for fold in folds]
    numbered = [table.append_column("fold", pa.array([fold] * len(table))) for fold, table in enumerate(tables)]
    summary = _summarise(folds, tables, resamples=resamples, seed=seed)
    png = draw_folds(summary)
    with atomic.new_directory(out) as folder:
        atomic.write_text(folder / "cross_validation.json", summary.model_dump_json(indent=1) + "\n")
        atomic.write_text(folder / "cross_validation.html", render_cross_validation(summary, picture=png))
        atomic.write_bytes(folder / "cross_validation.png", png)
        atomic.write_bytes(folder / "predictions.parquet", _encoded(pa.concat_tables(numbered)))
    return summary


def _read(folder: Path) -> _Fold:
    path = folder / "evaluation.json"
    if not path.is_file():
        raise DataError(f"no evaluation of a fold at {folder.name}")
    return _Fold(evaluation=Evaluation.model_validate_json(path.read_text()), folder=folder)


def _check_belong_together(folds: Sequence[_Fold]) -> None:
    if len(folds) < 2:
        raise DataError(f"expected at least two folds, got {len(folds)}")
    for what, values in (
        ("recipes", {fold.evaluation.recipe for fold in folds}),
        ("classes", {fold.evaluation.classes for fold in folds}),
        ("datasets", {fold.evaluation.digests["dataset"] for fold in folds}),
    ):
        if len(values) > 1:
            raise DataError(f"expected folds of one run, got different {what}: {sorted(map(str, values))}")


def _predictions(fold: _Fold) -> "pa.Table":
    import pyarrow.parquet as pq

    return pq.read_table(fold.folder / "predictions.parquet")


def _summarise(folds: Sequence[_Fold], tables: "Sequence[pa.Table]", *, resamples: int, seed: int) -> CrossValidation:
    first = folds[0].evaluation
    probabilities, labels, calls, patients = _pooled(folds, tables)
    found = intervals(
        lambda weights: _statistic(probabilities, labels, calls, weights), patients, resamples=resamples, seed=seed
    )
    overall = {
        name: _figure([getattr(fold.evaluation.overall, name) for fold in folds], found[name]) for name in OVERALL
    }
    per_class = {
        label: {
            name: _figure([getattr(fold.evaluation.per_class[label], name) for fold in folds], found[f"{name}/{index}"])
            for name in PER_CLASS
        }
        for index, label in enumerate(first.classes)
    }
    sizes = tuple(
        FoldSize(n_images=e.n_images, n_patients=e.n_patients, split=e.digests["split"])
        for e in (fold.evaluation for fold in folds)
    )
    return CrossValidation(
        recipe=first.recipe,
        architecture=first.architecture,
        classes=first.classes,
        dataset=first.digests["dataset"],
        folds=sizes,
        n_images=len(labels),
        n_patients=len(np.unique(patients)),
        resamples=resamples,
        seed=seed,
        overall=overall,
        per_class=per_class,
    )


def _pooled(
    folds: Sequence[_Fold], tables: "Sequence[pa.Table]"
) -> tuple[Array, Labels, npt.NDArray[np.bool_], npt.NDArray]:
    """Return all out-of-fold probabilities (N, C), labels, calls at each fold's operating points, and patients.

    Raises:
        DataError: when a patient was tested in two folds.
    """
    classes = folds[0].evaluation.classes
    probabilities, labels, calls, patients = [], [], [], []
    for fold, table in zip(folds, tables, strict=True):
        answers = np.stack([table[f"p_{name}"].to_numpy() for name in classes], axis=1)
        points = fold.evaluation.operating_points
        thresholds = {index: points[name] for index, name in enumerate(classes) if name in points}
        probabilities.append(answers)
        labels.append(np.array([classes.index(name) for name in table["label"].to_pylist()], np.int64))
        calls.append(metrics.positive_calls(answers, thresholds))
        patients.append(np.array(table["patient"].to_pylist(), dtype=str))
    each = [set(part.tolist()) for part in patients]
    if sum(map(len, each)) > len(set().union(*each)):
        raise DataError("a patient is in the test parts of two folds; make the folds anew")
    return np.concatenate(probabilities), np.concatenate(labels), np.concatenate(calls), np.concatenate(patients)


def _statistic(probabilities: Array, labels: Labels, calls: npt.NDArray[np.bool_], weights: Array) -> dict[str, Array]:
    areas = metrics.auroc_per_class(probabilities, labels, weights)
    found = {
        "macro_auroc": areas.mean(axis=1),
        "balanced_accuracy": metrics.balanced_accuracy(probabilities, labels, weights),
        "accuracy": metrics.accuracy(probabilities, labels, weights),
        "brier": metrics.brier(probabilities, labels, weights),
        "nll": metrics.negative_log_likelihood(probabilities, labels, weights),
    }
    for name, values in {"auroc": areas, **metrics.call_metrics(calls, labels, weights)}.items():
        found |= {f"{name}/{index}": values[:, index] for index in range(values.shape[1])}
    return found


def _figure(of_folds: Sequence[Figure], pooled: Figure) -> FoldFigure:
    values = [figure.value for figure in of_folds]
    known = [value for value in values if value is not None and math.isfinite(value)]
    whole = len(known) == len(values)
    return FoldFigure(
        folds=tuple(values),
        mean=float(np.mean(known)) if whole else None,
        std=float(np.std(known, ddof=1)) if whole else None,
        pooled=pooled,
    )


def _encoded(table: "pa.Table") -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
