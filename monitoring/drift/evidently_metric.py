"""A metric of Evidently that carries counts made elsewhere, and how it is drawn."""

from typing import Any

from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
from evidently.legacy.model.widget import BaseWidgetInfo
from evidently.legacy.renderers.html_widgets import WidgetSize, plotly_figure

REFERENCE_COLOUR, CURRENT_COLOUR = "#7f8c9a", "#c0392b"


class CountedDrift(SingleValueMetric):  # type: ignore[misc]  # evidently is not typed
    """The population stability index of one figure, with the counts that it was made of."""

    column: str
    psi: float
    bins: list[str]
    reference_counts: list[int]
    current_counts: list[int]


class CountedDriftCalculation(SingleValueCalculation[CountedDrift]):  # type: ignore[misc]
    """Hands over what the metric carries."""

    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> tuple[SingleValue, None]:
        """Return the index as it was given, with its picture."""
        result = self.result(self.metric.psi)
        result.widget = [_picture(self.metric)]
        return result, None

    def display_name(self) -> str:
        """Return the metric's heading."""
        return f"PSI of {self.metric.column}"


def _picture(metric: CountedDrift) -> BaseWidgetInfo:
    import plotly.graph_objects as go

    sides = (
        ("reference", metric.reference_counts, REFERENCE_COLOUR),
        ("window", metric.current_counts, CURRENT_COLOUR),
    )
    bars = [
        go.Bar(x=metric.bins, y=[count / max(sum(counts), 1) for count in counts], name=name, marker_color=colour)
        for name, counts, colour in sides
    ]
    figure = go.Figure(bars, layout={"barmode": "group", "yaxis": {"title": "share of images"}})
    return plotly_figure(title=f"{metric.column}: PSI {metric.psi:.3f}", figure=figure, size=WidgetSize.FULL)
