"""The picture of selective accuracy: what referring the least sure answers gains."""

from imaging.evaluation.plots import COLOURS, GREY, INK, _canvas, _svg
from imaging.evaluation.uncertainty_schema import RiskCoverage, TriageOutcome


def draw_risk_coverage(found: RiskCoverage, outcome: TriageOutcome) -> str:
    """Draw accuracy against the share reported with its 95 % band, and where triage stands."""
    figure, axes = _canvas(5.4, 3.1)
    shares = [100 * one.share for one in found.points]
    values = [percent(one.accuracy.value) for one in found.points]
    low = [percent(one.accuracy.value if one.accuracy.low is None else one.accuracy.low) for one in found.points]
    high = [percent(one.accuracy.value if one.accuracy.high is None else one.accuracy.high) for one in found.points]
    axes.fill_between(shares, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(shares, values, color=COLOURS[0], linewidth=1.8, label="the surest answers only")
    axes.axhline(values[-1], color=GREY, linewidth=1, linestyle=":")
    axes.annotate("all answers", (100, values[-1]), xytext=(-2, -9), textcoords="offset points", ha="right", color=INK)
    if outcome.reported.value and outcome.accuracy_reported.value is not None:
        place = 100 * outcome.reported.value, 100 * outcome.accuracy_reported.value
        axes.plot(*place, marker="D", markersize=7, color=COLOURS[1], markeredgecolor="white", linestyle="none")
        axes.annotate("triage", place, xytext=(0, 7), textcoords="offset points", color=COLOURS[1], ha="center")
    bottom = max(0.0, min(*low, values[-1]) - 6)
    axes.set(xlabel="reported, % of images (the rest is referred)", ylabel="right, % of the reported")
    axes.set(xlim=(0, 101.5), ylim=(bottom, 101.5))
    return _svg(figure)


def percent(share: float | None) -> float:
    """Return per cent; a share that is missing leaves a gap in the line."""
    return float("nan") if share is None else 100 * share
