"""Accuracy of the answers a model is surest of, against the share of images that they are.

El-Yaniv & Wiener 2010, "On the Foundations of Noise-free Selective Classification"; the area under the curve of risk
is Geifman & El-Yaniv 2017's. Answers that are equally sure are reported together or not at all.
"""

import numpy as np
import numpy.typing as npt

from imaging.evaluation.metrics import Array, ratio


def _reported(confidence: Array, wrong: npt.NDArray[np.bool_], weights: Array) -> tuple[Array, Array, Array]:
    """Return, surest answer first, each answer's weight, and the weight and the errors of all at least so sure."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    ordered = weights[:, order]
    return ordered, np.cumsum(ordered, axis=1)[:, last], np.cumsum(ordered * wrong[order], axis=1)[:, last]


def risk_area(confidence: Array, wrong: npt.NDArray[np.bool_], weights: Array) -> Array:
    """Mean, over the images in order of confidence, of the share of errors among those at least so sure.

    Args:
        confidence: (N,) of the predicted class.
        wrong: (N,) whether it is not the true one.
        weights: (R, N).

    Returns:
        (R,).
    """
    ordered, total, errors = _reported(confidence, wrong, weights)
    risk = np.divide(errors, total, out=np.zeros_like(errors), where=total > 0)
    return ratio((risk * ordered).sum(axis=1), ordered.sum(axis=1))


def accuracy_at(confidence: Array, wrong: npt.NDArray[np.bool_], weights: Array, shares: Array) -> Array:
    """Accuracy among the surest answers that make up at least each of `shares` (S,) of all; shape (R, S)."""
    _, total, errors = _reported(confidence, wrong, weights)
    enough = total >= shares[:, np.newaxis, np.newaxis] * total[:, -1:] - 1e-9
    places = enough.argmax(axis=2).T
    rows = np.arange(len(weights))[:, np.newaxis]
    return 1 - ratio(errors[rows, places], total[rows, places])
