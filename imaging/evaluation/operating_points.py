"""The probability at which a critical class is called, chosen on data that neither trains nor tests the model.

By one of three rules; the thresholds of all three are kept, so that a reader sees what another would have done.

* `youden`: Youden's J (sensitivity + specificity - 1; Youden 1950, "Index for rating diagnostic tests") among the
  thresholds sensitive enough for the recipe's floor. The gate asks for a lower 95 % bound, so thresholds whose Wilson
  lower bound reaches the floor come first.
* `fixed_specificity`: the most sensitive threshold of those at least so specific.
* `cost`: the least expected cost of misses and false alarms (Metz 1978, "Basic principles of ROC analysis").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from imaging.config import OPERATING_RULES, OperatingRule, RuleName
from imaging.errors import DataError
from imaging.evaluation.metrics import Array, Labels

Z = 1.959964
ROUNDING = 1e-12


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Every threshold that tells images apart, lowest first, and what each does for one class against the rest.

    Attributes:
        values: (T,).
        hits: (T,) images of the class that are called.
        positives: Images of the class.
        sensitivity: (T,).
        specificity: (T,).
    """

    values: Array
    hits: Array
    positives: int
    sensitivity: Array
    specificity: Array

    @classmethod
    def of(cls, scores: Array, positive: np.ndarray) -> Self:
        """Count for `scores` (N,), the calibrated probability of the class, of images that are `positive` (N,) or not.

        Raises:
            DataError: when there is no image of the class, or of no other class.
        """
        if positive.all() or not positive.any():
            raise DataError("expected images both of the class and of other classes to choose an operating point")
        values = candidate_thresholds(scores)
        sick, well = np.sort(scores[positive]), np.sort(scores[~positive])
        hits = (len(sick) - np.searchsorted(sick, values, side="left")).astype(float)
        quiet = np.searchsorted(well, values, side="left").astype(float)
        return cls(
            values=values,
            hits=hits,
            positives=len(sick),
            sensitivity=hits / len(sick),
            specificity=quiet / len(well),
        )

    def best(self, worth: Array, allowed: np.ndarray | None = None) -> float:
        """Return the threshold worth most; of equals the lower, more sensitive one."""
        worth = worth if allowed is None else np.where(allowed, worth, -np.inf)
        return float(self.values[np.argmax(worth >= worth.max() - ROUNDING)])


def choose_operating_point(scores: Array, positive: np.ndarray, *, floor: float = 0.0) -> float:
    """Choose the threshold of one class against the rest by Youden's J.

    Args:
        scores: (N,) calibrated probability of the class.
        positive: (N,) bool, whether the image is of the class.
        floor: Sensitivity that the recipe asks for.

    Raises:
        DataError: when there is no image of the class, or of no other class.
    """
    return by_youden(Thresholds.of(scores, positive), OperatingRule(), floor)


def by_youden(thresholds: Thresholds, _rule: OperatingRule, floor: float) -> float:
    """Return the threshold of the largest J among those that are sensitive enough for `floor`."""
    safe = wilson_lower(thresholds.hits, thresholds.positives) >= floor
    allowed = safe if safe.any() else thresholds.sensitivity >= floor
    return thresholds.best(thresholds.sensitivity + thresholds.specificity, allowed)


def by_specificity(thresholds: Thresholds, rule: OperatingRule, _floor: float) -> float:
    """Return the most sensitive threshold of those specific enough; where none is, of the most specific ones."""
    least = min(rule.specificity, float(thresholds.specificity.max())) - ROUNDING
    return thresholds.best(thresholds.sensitivity, thresholds.specificity >= least)


def by_cost(thresholds: Thresholds, rule: OperatingRule, _floor: float) -> float:
    """Return the threshold whose misses and false alarms cost least, by the rule's prices and share of the class."""
    misses = rule.miss_cost * rule.prevalence * (1 - thresholds.sensitivity)
    return thresholds.best(-(misses + (1 - rule.prevalence) * (1 - thresholds.specificity)))


RULES: dict[RuleName, Callable[[Thresholds, OperatingRule, float], float]] = {
    "youden": by_youden,
    "fixed_specificity": by_specificity,
    "cost": by_cost,
}


def choose_operating_points(
    probabilities: Array,
    labels: Labels,
    *,
    classes: tuple[str, ...],
    critical: tuple[str, ...],
    floors: dict[str, float],
    rule: OperatingRule | None = None,
) -> dict[str, dict[RuleName, float]]:
    """Choose the threshold of each critical class by every rule.

    Args:
        probabilities: (N, C) calibrated.
        labels: (N,).
        classes: Names of the columns.
        critical: Classes that get thresholds.
        floors: Sensitivity that the recipe asks for, by class.
        rule: With the specificity, the prices and the share of sick that the rules go by.
    """
    chosen: dict[str, dict[RuleName, float]] = {}
    for name in critical:
        index = classes.index(name)
        thresholds = Thresholds.of(probabilities[:, index], labels == index)
        floor = floors.get(name, 0.0)
        chosen[name] = {kind: RULES[kind](thresholds, rule or OperatingRule(), floor) for kind in OPERATING_RULES}
    return chosen


def describe(rule: OperatingRule) -> str:
    """Say in words how the thresholds that are used were chosen."""
    said: dict[RuleName, str] = {
        "youden": (
            "largest Youden's J, one class against the rest, on the validation and calibration parts, among "
            "thresholds whose sensitivity has a Wilson lower 95 % bound at or above the recipe's floor; where there is "
            "none, among those whose sensitivity reaches the floor"
        ),
        "fixed_specificity": (
            f"the most sensitive threshold with a specificity of at least {rule.specificity:.0%}, one class against "
            "the rest, on the validation and calibration parts"
        ),
        "cost": (
            f"least expected cost, one class against the rest, on the validation and calibration parts, where a miss "
            f"costs as much as {rule.miss_cost:g} false alarms and {rule.prevalence:.0%} of the images are of the class"
        ),
    }
    return said[rule.kind]
