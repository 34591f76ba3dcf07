"""Prediction sets: the classes that a conformal rule cannot rule out. The rule is fitted by `imaging.evaluation`.

Least ambiguous sets (Sadinle, Lei & Wasserman 2019): a class is in the set when 1 minus its probability is no more than
the rule's quantile. The most probable class is always in it, so no set is empty.
"""

import numpy as np
import numpy.typing as npt

from imaging.models.uncertainty_rules import ConformalRule


def in_set(probabilities: npt.NDArray[np.float64], limits: npt.NDArray[np.float64] | float) -> npt.NDArray[np.bool_]:
    """Say which classes are in the set of each image.

    Args:
        probabilities: (N, C) calibrated.
        limits: The quantile, or one for each class (C,).

    Returns:
        (N, C), at least one true in each row.
    """
    held = 1 - probabilities <= limits
    held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
    return held


def prediction_set(
    probabilities: npt.NDArray[np.float64], classes: tuple[str, ...], rule: ConformalRule
) -> tuple[str, ...]:
    """Name the classes in the set of one image (C,), the most probable first."""
    held = in_set(probabilities[np.newaxis], rule.quantile)[0]
    return tuple(classes[index] for index in np.argsort(-probabilities, kind="stable") if held[index])
