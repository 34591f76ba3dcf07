"""The pictures of robustness: what each corruption costs, and macro AUROC against its severity."""

import io
from typing import TYPE_CHECKING

from imaging.evaluation.plots import COLOURS, GREY, INK, STYLE
from imaging.evaluation.robustness_schema import Corrupted, Robustness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOUND = 0.05
"""Drawn for orientation; the gate reads its own from the table."""
COLUMNS = 3


def draw_robustness(found: Robustness) -> str:
    """Draw one panel a corruption where every severity was measured, and one row a corruption otherwise."""
    return _draw_severities(found) if found.every_severity else _draw_drops(found)


def _draw_drops(found: Robustness) -> str:
    """Draw each drop with its interval, the largest above."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = sorted(found.corruptions, key=lambda one: one.drop.value or 0.0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 0.9 + 0.32 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvspan(-1, BOUND, color=COLOURS[3], alpha=0.07, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=1)
        axes.axvline(BOUND, color=COLOURS[3], linewidth=1, linestyle=":")
        for place, one in enumerate(rows):
            colour = COLOURS[0] if one.gated else GREY
            if one.drop.low is not None and one.drop.high is not None:
                axes.plot([one.drop.low, one.drop.high], [place] * 2, color=colour, linewidth=2, solid_capstyle="round")
            if one.drop.value is not None:
                axes.plot(one.drop.value, place, marker="o", markersize=7, color=colour, markeredgecolor="white")
        axes.set_yticks(range(len(rows)), [f"{one.title}, {one.level}" for one in rows])
        ends = [end for one in rows for end in (one.drop.low, one.drop.high) if end is not None]
        axes.set(xlim=(min([-0.03, *ends]) - 0.01, max([0.1, *ends]) + 0.01), ylim=(-0.6, len(rows) - 0.4))
        axes.set_xlabel("macro AUROC lost (dotted: 0.05)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return _svg(figure)


def _draw_severities(found: Robustness) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one.corruption for one in found.corruptions))
    lows = [one.macro_auroc.low for one in found.corruptions if one.macro_auroc.low is not None]
    floor = max(0.0, min([0.8, *lows]) - 0.02)
    with mpl.rc_context(STYLE):
        height = -(-len(names) // COLUMNS)
        figure = Figure(figsize=(7.6, 0.4 + 1.75 * height), layout="constrained")
        grid = figure.subplots(height, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, name in zip(grid, names, strict=False):
            _draw_panel(axes, found, found.rows(name))
            axes.set(xlim=(-0.2, 3.2), ylim=(floor, 1.005))
            axes.set_xticks(range(4), ["as it is", "1", "2", "3"])
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        figure.supylabel("macro AUROC", fontsize=9)
        figure.supxlabel("severity", fontsize=9)
        return _svg(figure)


def _draw_panel(axes: "Axes", found: Robustness, rows: tuple[Corrupted, ...]) -> None:
    """Draw one corruption's curve with a band of 95 %, and the line that the first severity must not fall below."""
    colour = COLOURS[0] if rows[0].gated else GREY
    figures = [found.macro_auroc, *(one.macro_auroc for one in rows)]
    places = [0, *(one.severity for one in rows)]
    known = [(x, one.value, one.low, one.high) for x, one in zip(places, figures, strict=True) if one.value is not None]
    band = [(x, low, high) for x, _, low, high in known if low is not None and high is not None]
    if band:
        x, low, high = zip(*band, strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot([x for x, *_ in known], [y for _, y, *_ in known], color=colour, marker="o", markersize=4)
    if found.macro_auroc.value is not None:
        axes.axhline(found.macro_auroc.value - BOUND, color=COLOURS[3], linewidth=1, linestyle=":")
    axes.set_title(rows[0].title, fontsize=9, color=INK, loc="left")
    axes.grid(axis="y", color="0.93")


def _svg(figure: "Figure") -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()
