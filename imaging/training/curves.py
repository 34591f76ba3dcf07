"""Loss, accuracy and AUROC by epoch, as JSON for programs and a picture for people."""

import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imaging import atomic
from imaging.training.results import EpochResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_curves(directory: Path, history: Sequence[EpochResult], best: EpochResult) -> None:
    """Write `curves.json` and `curves.png` into `directory`."""
    document = {"epochs": [result.model_dump() for result in history], "best_epoch": best.epoch}
    atomic.write_text(directory / "curves.json", json.dumps(document, indent=1) + "\n")
    atomic.write_bytes(directory / "curves.png", _picture(history, best))


def _picture(history: Sequence[EpochResult], best: EpochResult) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, shares = figure.subplots(1, 2)
    _lines(losses, history, {"training loss": "train_loss", "validation loss": "val_loss"})
    _lines(
        shares,
        history,
        {"validation accuracy": "val_accuracy", "balanced": "val_balanced_accuracy", "macro AUROC": "val_macro_auroc"},
    )
    losses.set_ylabel("nats an image")
    for axes in (losses, shares):
        axes.axvline(best.epoch, color="0.5", linestyle="--", linewidth=1, label=f"kept: epoch {best.epoch}")
        for before, after in itertools.pairwise(history):
            if before.stage_index != after.stage_index:
                axes.axvspan(after.epoch - 0.5, history[-1].epoch + 0.5, color="0.93", zorder=0)
        axes.set_xlabel("epoch (shaded: the next stage)")
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _lines(axes: "Axes", history: Sequence[EpochResult], names: dict[str, str]) -> None:
    epochs = [result.epoch for result in history]
    for label, field in names.items():
        axes.plot(epochs, [getattr(result, field) for result in history], marker=".", label=label)
