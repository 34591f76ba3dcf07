"""Settings spread evenly over a space, all at once: what a pipeline tries side by side."""

import json
from typing import Any

from imaging.tuning.space import Space, point_at

MOST = 1000


def propose(space: Space, *, trials: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return up to `trials` different settings; the same arguments give the same ones.

    A Latin hypercube (McKay, Beckman & Conover 1979): each field's range is cut into as many stretches as there are
    trials, and every stretch is tried once. In a space of choices only, there may be fewer different settings.

    Raises:
        ConfigurationError: for a number of trials that cannot be.
    """
    from scipy.stats import qmc

    from imaging.errors import ConfigurationError

    if not 1 <= trials <= MOST:
        raise ConfigurationError(f"expected 1 to {MOST} trials, got {trials}")
    shares = qmc.LatinHypercube(d=len(space), rng=seed).random(trials)
    points = [point_at(space, row) for row in shares.tolist()]
    return list({json.dumps(point, sort_keys=True): point for point in points}.values())
