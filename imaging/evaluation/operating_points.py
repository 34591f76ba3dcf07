"""The probability at which a critical class is called, chosen on data that neither trained nor tests the model.

Youden's J (sensitivity + specificity - 1; Youden 1950) among the thresholds sensitive enough for the recipe's floor.
The gate asks for a lower 95 % bound, so thresholds whose Wilson lower bound reaches the floor come first.
"""

import numpy as np

from imaging.errors import DataError
from imaging.evaluation.metrics import Array, Labels

Z = 1.959964

RULE = (
    "largest Youden's J, one class against the rest, on the validation and calibration parts, among thresholds whose "
    "sensitivity has a Wilson lower 95 % bound at or above the recipe's floor; where there is none, among those whose "
    "sensitivity reaches the floor"
)


def wilson_lower(successes: Array, total: float) -> Array:
    """Lower end of the two-sided 95 % Wilson score interval of a proportion."""
    share = successes / total
    centre = share + Z**2 / (2 * total)
    spread = Z * np.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    return (centre - spread) / (1 + Z**2 / total)


def candidate_thresholds(scores: Array) -> Array:
    """Half-way points between neighbouring distinct scores, preceded by half of the lowest: it calls every image."""
    distinct = np.unique(scores)
    return np.r_[distinct[0] / 2, (distinct[1:] + distinct[:-1]) / 2]


def choose_operating_point(scores: Array, positive: np.ndarray, *, floor: float = 0.0) -> float:
    """Choose the threshold of one class against the rest.

    Args:
        scores: (N,) calibrated probability of the class.
        positive: (N,) bool, whether the image is of the class.
        floor: Sensitivity that the recipe asks for.

    Raises:
        DataError: when there is no image of the class, or of no other class.
    """
    if positive.all() or not positive.any():
        raise DataError("expected images both of the class and of other classes to choose an operating point")
    thresholds = candidate_thresholds(scores)
    called = np.sort(scores[positive]), np.sort(scores[~positive])
    hits = len(called[0]) - np.searchsorted(called[0], thresholds, side="left")
    false_alarms = len(called[1]) - np.searchsorted(called[1], thresholds, side="left")
    sensitivity = hits / len(called[0])
    youden = sensitivity - false_alarms / len(called[1])
    safe = wilson_lower(hits.astype(float), len(called[0])) >= floor
    allowed = safe if safe.any() else sensitivity >= floor
    # np.argmax takes the first: the lower, more sensitive threshold of two that are equally good.
    return float(thresholds[np.argmax(np.where(allowed, youden, -np.inf))])


def choose_operating_points(
    probabilities: Array,
    labels: Labels,
    *,
    classes: tuple[str, ...],
    critical: tuple[str, ...],
    floors: dict[str, float],
) -> dict[str, float]:
    """Choose one operating point for each critical class from calibrated `probabilities` (N, C)."""
    return {
        name: choose_operating_point(
            probabilities[:, classes.index(name)], labels == classes.index(name), floor=floors.get(name, 0.0)
        )
        for name in critical
    }
