"""When studies come: a day's curve, bursts, and chance."""

from dataclasses import dataclass

import numpy as np

DAY_S = 86_400.0
HOSPITAL_DAY = (
    *(0.15, 0.12, 0.10, 0.10, 0.12, 0.20, 0.50, 1.20, 1.90, 2.10, 2.10, 2.00),
    *(1.70, 1.80, 1.90, 1.80, 1.60, 1.30, 0.90, 0.70, 0.55, 0.45, 0.35, 0.25),
)
"""How much of the mean rate comes in each hour: quiet nights, a long plateau. An assumption, and no measurement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What is asked in a day."""

    studies: int
    profile: tuple[float, ...] = HOSPITAL_DAY
    """The rate of each hour beside the mean; normalised."""
    images_per_study: float = 2.0
    burst: float = 1.0
    """Images that come at the same moment, on average: a worklist that is sent at once."""


def draw(demand: Demand, *, seed: int = 0) -> np.ndarray:
    """Return the moments of a day's requests, in seconds from midnight, sorted.

    Bursts come as an inhomogeneous Poisson process (thinning, Lewis and Shedler 1979); each has one image more than a
    Poisson number with mean `burst - 1`.
    """
    chance = np.random.default_rng(seed)
    curve = np.array(demand.profile) / np.mean(demand.profile)
    bursts = demand.studies * demand.images_per_study / max(demand.burst, 1.0)
    most = curve.max()
    candidates = np.sort(chance.uniform(0, DAY_S, chance.poisson(bursts * most)))
    hour = np.minimum((candidates / DAY_S * len(curve)).astype(int), len(curve) - 1)
    kept = candidates[chance.uniform(0, most, len(candidates)) < curve[hour]]
    sizes = 1 + chance.poisson(max(demand.burst - 1.0, 0.0), len(kept))
    return np.repeat(kept, sizes)
