"""One picture of a cross-validation: every fold's figure, their mean, and the pooled figure with its interval."""

import io
from typing import TYPE_CHECKING

from imaging.evaluation.plots import COLOURS, GREY, INK, STYLE

if TYPE_CHECKING:
    from imaging.evaluation.cross_validation import CrossValidation, FoldFigure


def draw_folds(summary: "CrossValidation") -> bytes:
    """Draw the shares among the figures, one line each, as PNG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = _rows(summary)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 1.3 + 0.34 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for place, one in enumerate(rows.values()):
            values = [value for value in one.folds if value is not None]
            axes.scatter(values, [place - 0.16] * len(values), s=18, color=GREY, label="a fold")
            if one.mean is not None:
                axes.scatter([one.mean], [place - 0.16], marker="|", s=130, color=INK, label="mean of the folds")
            pooled = one.pooled
            if pooled.low is not None and pooled.high is not None:
                axes.plot([pooled.low, pooled.high], [place + 0.16] * 2, color=COLOURS[0], linewidth=1.6)
            if pooled.value is not None:
                label = "pooled, 95 % by patients"
                axes.scatter([pooled.value], [place + 0.16], s=26, color=COLOURS[0], zorder=3, label=label)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"{summary.recipe}, {len(summary.folds)} folds")
        axes.grid(axis="x", color="0.92", zorder=0)
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        figure.legend(once.values(), once.keys(), loc="outside upper center", ncols=3, frameon=False, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _rows(summary: "CrossValidation") -> "dict[str, FoldFigure]":
    shares = ("macro_auroc", "balanced_accuracy", "accuracy")
    rows = {name.replace("_", " ").replace("auroc", "AUROC"): summary.overall[name] for name in shares}
    for label, figures in summary.per_class.items():
        rows |= {f"{label}: {name.replace('auroc', 'AUROC')}": figures[name] for name in ("auroc", "sensitivity")}
    return rows
