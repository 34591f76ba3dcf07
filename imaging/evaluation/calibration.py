"""Fits each way to calibrate on a part of its own: temperature and vector scaling (Guo et al. 2017), isotonic curves.

A temperature is one number that divides the logits, so no image changes its most probable class. It is fitted by L-BFGS
on the negative log-likelihood and kept only where it lowers it. What else there is: `imaging.models.calibration_map`;
which of them is used: `imaging.evaluation.calibration_choice`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from imaging.errors import DataError
from imaging.evaluation.metrics import Array, Labels
from imaging.models.calibration_map import CalibrationRule, Curve, calibrated

PRIOR_SIGMA = 1.0
"""Standard deviation of log T, of each scale about 1 and of each shift about 0 before any image is seen. They weigh as
much as one image, and keep the fit finite where every calibration image is right (the likelihood alone would then ask
for T = 0: boundless confidence)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Temperature:
    """A fitted temperature and the calibration part's negative log-likelihood (nats) without and with it."""

    temperature: float
    nll_before: float
    nll_after: float
    kept: bool


def mean_nll(logits: Array, labels: Labels, temperature: float) -> float:
    """Mean negative log-likelihood of `labels` under softmax(logits / temperature), in nats."""
    log_p = log_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Array, labels: Labels) -> Temperature:
    """Fit one temperature on the calibration part.

    Args:
        logits: (N, C) uncalibrated.
        labels: (N,) class indices.

    Raises:
        DataError: when the part is empty or a logit is not finite.
    """
    scores = _checked(logits)
    before = mean_nll(scores, labels, 1.0)
    of_truth = scores[np.arange(len(labels)), labels]

    def loss(log_t: Array) -> tuple[float, Array]:
        inverse = float(np.exp(-log_t[0]))
        expected = (softmax(scores * inverse, axis=1) * scores).sum(axis=1)
        slope = inverse * (of_truth - expected).mean() + log_t[0] / (PRIOR_SIGMA**2 * len(labels))
        value = mean_nll(scores, labels, 1 / inverse) + log_t[0] ** 2 / (2 * PRIOR_SIGMA**2 * len(labels))
        return value, np.array([slope])

    found = minimize(loss, np.zeros(1), jac=True, method="L-BFGS-B", bounds=[(np.log(0.02), np.log(50.0))])
    temperature = float(np.exp(found.x[0]))
    after = mean_nll(scores, labels, temperature)
    if not after < before:
        return Temperature(temperature=1.0, nll_before=before, nll_after=before, kept=False)
    return Temperature(temperature=temperature, nll_before=before, nll_after=after, kept=True)


def fit_vector(logits: Array, labels: Labels) -> CalibrationRule:
    """Fit a scale and a shift for each class by L-BFGS on the negative log-likelihood, which is convex in them.

    Args:
        logits: (N, C) uncalibrated.
        labels: (N,) class indices.

    Raises:
        DataError: when the part is empty or a logit is not finite.
    """
    scores = _checked(logits)
    classes, count = scores.shape[1], len(labels)
    truth = np.eye(classes)[labels]
    start = np.r_[np.ones(classes), np.zeros(classes)]

    def loss(values: Array) -> tuple[float, Array]:
        scale, shift = values[:classes], values[classes:]
        moved = scores * scale + shift
        error = softmax(moved, axis=1) - truth
        away = (values - start) / (PRIOR_SIGMA**2 * count)
        value = -log_softmax(moved, axis=1)[truth > 0].mean() + (away * (values - start)).sum() / 2
        return value, np.r_[(error * scores).mean(axis=0), error.mean(axis=0)] + away

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-8}).x
    return CalibrationRule(
        method="vector", scale=tuple(found[:classes].tolist()), shift=tuple(found[classes:].tolist())
    )


def fit_isotonic(logits: Array, labels: Labels) -> CalibrationRule:
    """Fit a monotone curve for each class against the rest.

    No curve reaches 0 or 1: with N images, nothing rarer than one in N + 2 was seen (Laplace's rule of succession).

    Args:
        logits: (N, C) uncalibrated.
        labels: (N,) class indices.

    Raises:
        DataError: when the part is empty or a logit is not finite.
    """
    from sklearn.isotonic import IsotonicRegression

    plain = calibrated(_checked(logits))
    least = 1 / (len(labels) + 2)
    curves = []
    for place in range(plain.shape[1]):
        fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        fitted.fit(plain[:, place], labels == place)
        curves.append(Curve(confidence=tuple(fitted.X_thresholds_), share=tuple(fitted.y_thresholds_)))
    return CalibrationRule(method="isotonic", curves=tuple(curves))


def _checked(logits: Array) -> Array:
    scores = np.asarray(logits, dtype=np.float64)
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise DataError(
            f"expected finite logits of a calibration part, got {len(scores)} rows with a bad value or none"
        )
    return scores
