"""The picture of the heat maps' check: where their heat lies, each beside what chance would give."""

import io

from imaging.evaluation.explanation_schema import Explanation
from imaging.evaluation.figure import Figure
from imaging.evaluation.plots import COLOURS, GREY, INK, STYLE


def draw_explanation(found: Explanation) -> str:
    """Draw one row a question: the share with its 95 % interval, and a bar where chance would put it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    rows = list(reversed(shares(found)))
    with mpl.rc_context(STYLE):
        figure = Canvas(figsize=(6.6, 0.75 + 0.42 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, (_, share, chance) in enumerate(rows):
            axes.plot([chance, chance], [place - 0.3, place + 0.3], color=GREY, linewidth=3, solid_capstyle="butt")
            if share.low is not None and share.high is not None:
                ends = [share.low, share.high]
                axes.plot(ends, [place] * 2, color=COLOURS[0], linewidth=2, solid_capstyle="round")
            if share.value is not None:
                axes.plot(share.value, place, marker="o", markersize=7, color=COLOURS[0], markeredgecolor="white")
        axes.set_yticks(range(len(rows)), [title for title, _, _ in rows])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("share (grey bar: what chance gives)", color=INK)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()


def shares(found: Explanation) -> list[tuple[str, Figure, float]]:
    """Return each question that was answered: its words, the share, and what chance gives."""
    asked = (
        ("hottest point in a marked lesion", found.hit_rate, found.lesion_area),
        ("heat in a marked lesion", found.lesion_share, found.lesion_area),
        ("heat in the lungs", found.lung_share, found.lung_area),
        ("heat in the outer eighth of the image", found.border_share, found.border_area),
    )
    return [(title, share, area) for title, share, area in asked if share.value is not None and area is not None]
