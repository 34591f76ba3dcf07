"""Hand-made histories: one list a curve, a stage for each list of stages."""

from collections.abc import Sequence
from pathlib import Path

from imaging.training.reports import CURVES_FILE, report_training
from imaging.training.results import EpochResult


def history(
    val_loss: Sequence[float],
    train_loss: Sequence[float] | None = None,
    *,
    stages: Sequence[int] | None = None,
    train_accuracy: float = 0.9,
    val_accuracy: Sequence[float] | None = None,
) -> list[EpochResult]:
    """Return an epoch a validation loss; by default the training loss halves each epoch, and `stages` is one of all."""
    count = len(val_loss)
    trained = [2.0 * 0.5**n for n in range(count)] if train_loss is None else train_loss
    right = [1 - loss / 2 for loss in val_loss] if val_accuracy is None else val_accuracy
    places = [index for index, length in enumerate(stages or [count]) for _ in range(length)]
    return [
        EpochResult(
            epoch=number + 1,
            stage_index=places[number],
            stage=("head", "last-blocks", "everything")[places[number]],
            train_loss=trained[number],
            train_accuracy=train_accuracy,
            val_loss=val_loss[number],
            val_accuracy=right[number],
            val_balanced_accuracy=right[number],
            val_macro_auroc=0.5 + right[number] / 2,
            lr=1e-3 / (number + 1),
            seconds=2.0,
            images_per_s=500.0 + 10 * number,
            data_share=0.01,
        )
        for number in range(count)
    ]


def best_of(results: Sequence[EpochResult]) -> EpochResult:
    return min(results, key=lambda result: result.val_loss)


def write_curves(directory: Path, results: Sequence[EpochResult]) -> None:
    """Write the `curves.json` of a network of three classes."""
    report = report_training(results, best_of(results), classes=3)
    (directory / CURVES_FILE).write_text(report.model_dump_json())
