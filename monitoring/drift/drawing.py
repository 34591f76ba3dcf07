"""Small histograms of a window over its reference, as SVG: what a reader looks at before any number."""

from collections.abc import Sequence
from typing import Any

from monitoring.drift.distances import shares
from monitoring.drift.findings import Figure

WIDTH, HEIGHT = 180, 64
MOST_DRAWN = 12
"""Of each part, the most moved first."""


def histograms(parts: Sequence[tuple[str, Sequence[Figure]]]) -> list[dict[str, Any]]:
    """Return, for each part, its figures as bars of the reference with the window's over them.

    Coordinates are in a box of `WIDTH` by `HEIGHT`; each bar is (x, width, reference height, window height, text).
    """
    return [
        {"label": label, "width": WIDTH, "height": HEIGHT, "figures": [_bars(one) for one in _most_moved(figures)]}
        for label, figures in parts
    ]


def _most_moved(figures: Sequence[Figure]) -> list[Figure]:
    return sorted(figures, key=lambda one: -one.psi)[:MOST_DRAWN]


def _bars(figure: Figure) -> dict[str, Any]:
    reference, current = shares(figure.reference).tolist(), shares(figure.current).tolist()
    top = max(*reference, *current) or 1.0
    wide = WIDTH / len(reference)
    bars = [
        {
            "x": round(index * wide, 1),
            "wide": round(wide * 0.86, 1),
            "before": round(HEIGHT * before / top, 1),
            "now": round(HEIGHT * now / top, 1),
            "text": f"{name}: {100 * before:.1f} % in the reference, {100 * now:.1f} % now",
        }
        for index, (name, before, now) in enumerate(zip(figure.bins, reference, current, strict=True))
    ]
    return {"name": figure.name, "psi": figure.psi, "state": figure.state, "bars": bars}
