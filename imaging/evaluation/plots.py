"""The report's pictures, each an SVG that stands alone: ROC curves, reliability diagram, confusion matrix.

Drawn on `Figure` objects, without pyplot: no display, no global state, the same bytes each time.
"""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imaging.evaluation.expected_calibration_error import bin_sums, equal_mass_bins
from imaging.evaluation.metrics import Array, Labels, one_weighting
from imaging.evaluation.operating_points import Z

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2563eb", "#ea580c", "#7c3aed", "#0d9488", "#be123c", "#4d7c0f")
DASHES = ("-", "--", ":")
"""Beyond six classes the colours come again with another line."""
MOST_NAMED = 20
"""Classes whose curves are named in the legend, and whose counts are written into the matrix."""
INK = "#1f2933"
GREY = "#9aa5b1"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "thorax",
}


def roc_curve(scores: Array, positive: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the false and true positive rates at every distinct threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = np.cumsum(positive[order])[last]
    alarms = np.cumsum(~positive[order])[last]
    return np.r_[0.0, alarms / max(alarms[-1], 1)], np.r_[0.0, hits / max(hits[-1], 1)]


def draw_roc(
    probabilities: Array,
    labels: Labels,
    *,
    classes: tuple[str, ...],
    operating_points: dict[str, float],
    legend: dict[str, str],
) -> str:
    """Draw one ROC curve a class (one-vs-rest) with its operating point; `legend` gives each class's text."""
    figure, axes = _canvas(3.7, 3.5)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for index, name in enumerate(classes):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]
        positive = labels == index
        if not positive.any() or positive.all():
            continue
        curve = roc_curve(probabilities[:, index], positive)
        label = legend[name] if index < MOST_NAMED else None
        axes.plot(*curve, color=colour, linestyle=dash, linewidth=1.8 if len(classes) < 5 else 1.2, label=label)
        if name in operating_points:
            called = probabilities[:, index] >= operating_points[name]
            point = called[~positive].mean(), called[positive].mean()
            axes.plot(*point, marker="o", markersize=7, color=colour, markeredgecolor="white", zorder=5)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", frameon=False, fontsize=8 if len(classes) < 9 else 6)
    return _svg(figure)


def draw_reliability(before: Array, after: Array, labels: Labels) -> str:
    """Draw accuracy against confidence of the top class, before and after calibration, with 95 % Wilson bars."""
    figure, axes = _canvas(3.7, 3.5)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    shown = (("before calibration", before, GREY, "s", 1.0), ("after calibration", after, COLOURS[0], "o", 1.8))
    for name, probabilities, colour, marker, width in shown:
        confidence = probabilities.max(axis=1)
        correct = (probabilities.argmax(axis=1) == labels).astype(float)
        share, said, was = (
            part[0]
            for part in bin_sums(confidence, correct, equal_mass_bins(confidence, 8), one_weighting(len(labels)))
        )
        filled = share > 0
        count, said, was = share[filled] * len(labels), said[filled], was[filled]
        centre = (was + Z**2 / (2 * count)) / (1 + Z**2 / count)
        spread = Z * np.sqrt(was * (1 - was) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
        bars = np.clip(np.stack([was - (centre - spread), centre + spread - was]), 0, None)
        axes.errorbar(
            said, was, yerr=bars, color=colour, marker=marker, markersize=5, linewidth=width, elinewidth=0.8, label=name
        )
    lowest = 1 / before.shape[1]
    axes.set(xlabel="confidence in the top class", ylabel="share that was right", xlim=(lowest, 1.01), ylim=(0, 1.02))
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _svg(figure)


def draw_confusion(matrix: npt.NDArray[np.int64], *, classes: tuple[str, ...]) -> str:
    """Draw counts, shaded by the share of each true class; with many classes shades alone."""
    count = len(classes)
    side = 3.6 if count < 5 else min(3.6 + 0.25 * (count - 4), 8.0)
    figure, axes = _canvas(side + 0.1, side - 0.1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*matrix.shape if count <= MOST_NAMED else (0, 0)):
        if count >= 5 and not matrix[row, column]:
            continue
        colour = "white" if shares[row, column] > 0.55 else INK
        cell = f"{matrix[row, column]}" + (f"\n{shares[row, column]:.0%}" if count < 5 else "")
        axes.text(column, row, cell, ha="center", va="center", color=colour, fontsize=9 if count < 5 else 7)
    axes.set(xlabel="most probable class", ylabel="true class")
    if count <= 2 * MOST_NAMED:
        few = count < 5
        axes.set_xticks(range(count), classes, rotation=0 if few else 45, ha="center" if few else "right")
        axes.set_yticks(range(count), classes, rotation=90 if few else 0, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _svg(figure)


def _canvas(width: float, height: float) -> "tuple[Figure, Axes]":
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def _svg(figure: "Figure") -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()
