"""The picture of a run: losses, accuracies and the rate by epoch, with its stages and the epoch that was kept."""

import io
import itertools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imaging.training.results import EpochResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSSES = {"training": ("train_loss", "C0"), "validation": ("val_loss", "C1")}
SHARES = {
    "training": ("train_accuracy", "C0"),
    "validation": ("val_accuracy", "C1"),
    "balanced": ("val_balanced_accuracy", "C2"),
    "macro AUROC": ("val_macro_auroc", "C3"),
}
RATE = {"learning rate": ("lr", "0.35")}
MARKED = 40
"""Up to so many epochs, each has its point."""


def draw_curves(history: Sequence[EpochResult], best: EpochResult, *, text: str) -> bytes:
    """Draw a run as PNG.

    Args:
        history: Every epoch, in order.
        best: The epoch whose weights were kept.
        text: What stands above; its lines are folded.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    folded = "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, 180))
    figure.suptitle(folded, fontsize=9, x=0.01, ha="left")
    losses, shares, rate = figure.subplots(1, 3, width_ratios=(4, 4, 2.5))
    _lines(losses, history, LOSSES)
    _lines(shares, history, SHARES)
    _lines(rate, history, RATE)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    for axes, title in ((losses, "loss, nats an image"), (shares, "accuracy and AUROC"), (rate, "learning rate")):
        axes.set_title(title, fontsize=10, loc="right" if axes is rate else "center")
        _mark(axes, history, best)
    losses.set_ylim(0, 1.1 * losses.get_ylim()[1])
    rate.set_ylim(0, 1.1 * rate.get_ylim()[1])
    shares.set_ylim(top=1.06)
    figure.legend(*shares.get_legend_handles_labels(), loc="outside lower left", ncols=5, frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _lines(axes: "Axes", history: Sequence[EpochResult], lines: dict[str, tuple[str, str]]) -> None:
    """Draw one line a field; a stage begins anew, since its training images may be changed in other ways."""
    for label, (field, colour) in lines.items():
        for index, (_, stage) in enumerate(itertools.groupby(history, key=lambda result: result.stage_index)):
            results = list(stage)
            epochs, values = [one.epoch for one in results], [getattr(one, field) for one in results]
            marker = "." if len(history) <= MARKED or len(results) == 1 else ""
            axes.plot(epochs, values, marker=marker, color=colour, label=None if index else label)


def _mark(axes: "Axes", history: Sequence[EpochResult], best: EpochResult) -> None:
    """Shade every other stage, name them where there are several, and mark the kept epoch."""
    from matplotlib.ticker import MaxNLocator

    stages = [list(stage) for _, stage in itertools.groupby(history, key=lambda result: result.stage_index)]
    for index, stage in enumerate(stages):
        first, last = stage[0].epoch - 0.5, stage[-1].epoch + 0.5
        if index % 2:
            axes.axvspan(first, last, color="0.94", zorder=0)
        if len(stages) > 1:
            middle = ((first + last) / 2, 0.99)
            axes.text(
                *middle,
                stage[0].stage,
                transform=axes.get_xaxis_transform(),
                fontsize=7,
                color="0.4",
                ha="center",
                va="top",
            )
    axes.axvline(best.epoch, color="0.5", linestyle="--", linewidth=1, label=f"kept: epoch {best.epoch}")
    axes.set_xlim(history[0].epoch - 0.5, history[-1].epoch + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)
