"""The picture of the shortcuts: how well each probe tells the classes, beside the model with and without the lungs."""

import io
from typing import TYPE_CHECKING

from imaging.evaluation.figure import Figure
from imaging.evaluation.plots import COLOURS, GREY, INK, STYLE
from imaging.evaluation.shortcuts_schema import Shortcuts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANCE = 0.5
MODEL, TELLING, SILENT, LUNG = COLOURS[0], COLOURS[4], GREY, COLOURS[2]


def draw_shortcuts(found: Shortcuts) -> str:
    """Draw a bar from chance to the macro AUROC of each, with its interval; red tells the class without a lung."""
    import matplotlib as mpl
    from matplotlib import figure

    rows = bars(found)
    ends = [end for _, one, _ in rows for end in (one.low, one.value) if end is not None]
    with mpl.rc_context(STYLE):
        canvas = figure.Figure(figsize=(6.4, 0.75 + 0.34 * len(rows)), layout="constrained")
        axes = canvas.add_subplot()
        axes.axvline(CHANCE, color=INK, linewidth=1)
        for place, (_, one, colour) in enumerate(rows):
            _draw_bar(axes, place, one, colour)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set(xlim=(min([0.4, *ends]) - 0.01, 1.09), ylim=(len(rows) - 0.4, -0.6))
        axes.set_xticks([tick for tick in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0) if tick >= min([0.4, *ends])])
        axes.set_xlabel("macro AUROC (0.5 is chance, 1 tells every image)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()


def bars(found: Shortcuts) -> list[tuple[str, Figure, str]]:
    """Return the name, figure and colour of each bar, from above."""
    rows = [("the model", found.model_macro_auroc, MODEL)]
    if found.occlusion is not None:
        colour = TELLING if found.occlusion.still_answers else SILENT
        rows.append(("the model, nothing but the lungs", found.occlusion.only_centre, MODEL))
        rows.append(("the model, lungs painted over", found.occlusion.without_centre, colour))
    for one in found.probes:
        colour = SILENT if not one.tells else LUNG if one.holds_lung else TELLING
        rows.append((f"{one.title} alone", one.macro_auroc, colour))
    return rows


def _draw_bar(axes: "Axes", place: int, one: Figure, colour: str) -> None:
    if one.value is None:
        axes.text(CHANCE + 0.01, place, "could not be computed", va="center", color=GREY, fontsize=8)
        return
    axes.barh(place, one.value - CHANCE, left=CHANCE, height=0.56, color=colour, alpha=0.85, linewidth=0)
    end = one.value
    if one.low is not None and one.high is not None:
        axes.plot([one.low, one.high], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
        end = one.high
    axes.text(max(end, CHANCE) + 0.012, place, f"{one.value:.2f}", va="center", fontsize=9)
