"""One picture of a search: its history and best so far, what mattered, and the figure along each field."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, BLUE, ORANGE, RED = "#1f2933", "#9aa5b1", "#2563eb", "#ea580c", "#be123c"
LOOK = {"complete": ("o", BLUE), "pruned": ("v", ORANGE), "failed": ("x", RED)}
MOST_SLICES = 4
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}

Rows = Sequence[Mapping[str, Any]]


def draw_search(rows: Rows, space: Mapping[str, str], *, metric: str, importances: Mapping[str, float]) -> bytes:
    """Draw a search as PNG.

    Args:
        rows: The trials: `number`, `state`, `value`, `fields`.
        space: The searched fields and their terms.
        metric: What the value is.
        importances: Of each field; empty where unknown.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(space, key=lambda name: -importances.get(name, 0.0))[:MOST_SLICES]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.2), layout="constrained")
        FigureCanvasAgg(figure)
        halves: Any = figure.subfigures(2, 1)
        above, below = halves
        history, bars = above.subplots(1, 2, width_ratios=(2, 1))
        _history(history, rows, metric)
        _bars(bars, space, importances)
        slices = below.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for axes, name in zip(slices, shown, strict=True):
            _slice(axes, rows, name, term=space[name])
        slices[0].set_ylabel(_words(metric))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _history(axes: "Axes", rows: Rows, metric: str) -> None:
    _dots(axes, rows, [row["number"] for row in rows])
    best = min if metric == "val_loss" else max
    done = [row for row in rows if row["state"] == "complete" and row["value"] is not None]
    if done:
        so_far = [best(row["value"] for row in done[: end + 1]) for end in range(len(done))]
        numbers = [row["number"] for row in done]
        axes.step(numbers, so_far, where="post", color=INK, linewidth=1.2, label="best so far", zorder=1)
    for row in rows:
        if row["state"] == "failed":
            axes.axvline(row["number"], color=RED, linewidth=0.8, linestyle=":", label="failed")
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="trial", ylabel=_words(metric))
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), frameon=False, fontsize=8)


def _bars(axes: "Axes", space: Mapping[str, str], importances: Mapping[str, float]) -> None:
    axes.set_title("share of the variance (fANOVA)", fontsize=9)
    if not importances:
        axes.text(0.5, 0.5, "too few completed trials\nto tell", ha="center", va="center", color=GREY)
        axes.set_axis_off()
        return
    names = sorted(space, key=lambda name: importances.get(name, 0.0))
    bars = axes.barh(names, [importances.get(name, 0.0) for name in names], color=BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_xlim(0, 1.15)


def _slice(axes: "Axes", rows: Rows, name: str, *, term: str) -> None:
    values = [row["fields"].get(name) for row in rows]
    if not term.startswith("choice"):
        _dots(axes, rows, values)
    else:
        options = sorted({json.dumps(value) for value in values}, key=lambda text: (len(text), text))
        _dots(axes, rows, [options.index(json.dumps(value)) for value in values])
        axes.set_xticks(range(len(options)), options)
        axes.set_xlim(-0.5, max(len(options), 1) - 0.5)
    if term.startswith("log"):
        axes.set_xscale("log")
    axes.set_xlabel(name)


def _dots(axes: "Axes", rows: Rows, places: Sequence[Any]) -> None:
    """Draw each trial's figure at its place, by how it ended."""
    for state, (marker, colour) in LOOK.items():
        points = [
            (place, row["value"])
            for row, place in zip(rows, places, strict=True)
            if row["state"] == state and row["value"] is not None
        ]
        if points:
            across, up = zip(*points, strict=True)
            axes.scatter(across, up, marker=marker, s=26, color=colour, label=state, zorder=3)


def _words(metric: str) -> str:
    return metric.replace("val_", "validation ").replace("_", " ").replace("auroc", "AUROC")
