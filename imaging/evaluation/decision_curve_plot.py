"""Decision curves: one panel a critical class."""

from typing import TYPE_CHECKING

from imaging.evaluation.decision_curve_schema import Benefit, DecisionCurve
from imaging.evaluation.plots import COLOURS, GREY, INK, STYLE, _svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_benefit(benefit: Benefit) -> str:
    """Draw the model's net benefit with its 95 % band against calling everybody and nobody."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    count = len(benefit.classes)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(min(3.7 * count, 11.0), 3.5), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False)[0]
        for axes, (name, curve) in zip(panels, benefit.classes.items(), strict=True):
            _panel(axes, name, curve)
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False, fontsize=8
        )
        panels[0].set_ylabel("net benefit")
    return _svg(figure)


def _panel(axes: "Axes", name: str, curve: DecisionCurve) -> None:
    at = curve.thresholds
    axes.axhline(0, color=GREY, linewidth=1.2, label="call nobody")
    axes.plot(at, curve.treat_all, color=INK, linewidth=1.2, linestyle="--", label="call everybody")
    band = [(x, low, high) for x, low, high in zip(at, curve.low, curve.high, strict=True) if None not in (low, high)]
    if band:
        where, low, high = (list(part) for part in zip(*band, strict=True))
        axes.fill_between(where, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(at, curve.net_benefit, color=COLOURS[0], linewidth=1.8, label="call by the model")
    value = curve.at_operating_point.value
    if value is not None:
        axes.plot(curve.operating_point, value, marker="o", markersize=7, color=COLOURS[0], markeredgecolor="white")
    top = max(*curve.net_benefit, curve.prevalence)
    axes.set(xlabel="probability from which one acts", xlim=(0, 1), ylim=(-0.15 * top, 1.1 * top), title=name)
    axes.title.set_fontsize(9.5)
