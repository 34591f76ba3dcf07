"""A forest plot: each group's macro AUROC with its interval, against the whole."""

from collections.abc import Sequence

from imaging.evaluation.plots import COLOURS, GREY, INK, _canvas, _svg
from imaging.evaluation.schema import Evaluation, Subgroup

MOST_PAIRS = 8
"""Shown of the pairs, those furthest behind first."""


def shown_groups(groups: Sequence[Subgroup]) -> list[Subgroup]:
    """Return the groups of one column, then the pairs furthest behind."""
    pairs = sorted((one for one in groups if one.is_pair), key=lambda one: -(one.gap.value or 0))
    return [*(one for one in groups if not one.is_pair), *pairs[:MOST_PAIRS]]


def draw_subgroups(evaluation: Evaluation) -> str | None:
    """Draw the shown groups, under-powered ones hollow; `None` where no group has an area."""
    groups = [one for one in shown_groups(evaluation.subgroups) if one.macro_auroc.value is not None]
    whole = evaluation.overall.macro_auroc.value
    if not groups or whole is None:
        return None
    figure, axes = _canvas(5.4, 0.8 + 0.26 * len(groups))
    axes.axvline(whole, color=GREY, linewidth=1, linestyle=":", zorder=0)
    for row, one in enumerate(groups):
        colour, area = COLOURS[0] if one.powered else GREY, one.macro_auroc
        value = area.value or 0.0
        if area.low is not None and area.high is not None:
            axes.plot([area.low, area.high], [row, row], color=colour, linewidth=1.6, solid_capstyle="round")
        face = colour if one.powered else "white"
        marker = "D" if one.is_pair else "o"
        axes.plot(value, row, marker=marker, markersize=5.5, color=colour, markerfacecolor=face, linestyle="")
    for row in range(1, len(groups)):
        if groups[row].column != groups[row - 1].column and not (groups[row].is_pair and groups[row - 1].is_pair):
            axes.axhline(row - 0.5, color="#e4e7eb", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(groups)), [_name(one) for one in groups], color=INK)
    axes.set(xlabel="macro AUROC", ylim=(len(groups) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return _svg(figure)


def _name(one: Subgroup) -> str:
    kind = "" if one.is_pair else f"{one.column.replace('_', ' ')}: "
    return f"{kind}{one.value}  ({one.n_patients})"
