"""Temperature scaling on a part of its own (Guo et al. 2017, section 4.2).

One number divides the logits, so no image changes its most probable class. It is fitted by L-BFGS on the negative
log-likelihood and kept only where it lowers it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from imaging.errors import DataError
from imaging.evaluation.metrics import Array, Labels

PRIOR_SIGMA = 1.0
"""Standard deviation of log T before any image is seen. It weighs as much as one image, and keeps the fit finite
where every calibration image is right (the likelihood alone would then ask for T = 0: boundless confidence)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Temperature:
    """A fitted temperature and the calibration part's negative log-likelihood (nats) without and with it."""

    temperature: float
    nll_before: float
    nll_after: float
    kept: bool


def scaled_probabilities(logits: Array, temperature: float) -> Array:
    """Return softmax(logits / temperature), shape (N, C) float64."""
    return softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)


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
    scores = np.asarray(logits, dtype=np.float64)
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise DataError(
            f"expected finite logits of a calibration part, got {len(scores)} rows with a bad value or none"
        )
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
