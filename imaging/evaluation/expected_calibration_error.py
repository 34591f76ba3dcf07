"""Expected calibration error of the top class: plugin, and debiased for small test parts.

Plugin: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3; equal-width bins. With a few hundred
images it is too high by 0.03 to 0.05 from the noise of the bins alone. Debiased: Kumar, Liang & Ma 2019, "Verified
Uncertainty Calibration", as their library does it for L1: equal-mass bins, minus the bias expected when each bin's
accuracy is normal around what was seen. Their 1,000 draws are replaced by the mean of the folded normal:
exact.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from imaging.evaluation.metrics import Array, Labels, ratio

BINS = 15


def sensible_bins(count: int) -> int:
    """Return how many bins `count` images can fill: the cube root, 5 to 15.

    Debiasing leaves about half of the noise it removes when a model is perfectly calibrated, so with 15 bins such a
    model would still show 0.04 on 270 images; with 6 it shows 0.025, and a wrong temperature shows as clearly.
    """
    return int(np.clip(round(count ** (1 / 3)), 5, BINS))


def equal_width_bins(confidence: Array, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Assign each confidence in [0, 1] to one of `bins` equal intervals, open on the left, as Guo et al."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def equal_mass_bins(confidence: Array, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Assign each confidence to one of at most `bins` intervals that hold about equally many; ties stay together."""
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, confidence, side="left").astype(np.int64)


def bin_sums(
    confidence: Array, correct: Array, member: npt.NDArray[np.int64], weights: Array
) -> tuple[Array, Array, Array]:
    """Return per bin the share of the weight, the mean confidence and the accuracy (0 in an empty bin), each (R, B)."""
    one_hot = np.eye(int(member.max()) + 1)[member]
    mass = weights @ one_hot
    mean_confidence = np.nan_to_num(ratio(weights @ (one_hot * confidence[:, None]), mass))
    accuracy = np.nan_to_num(ratio(weights @ (one_hot * correct[:, None]), mass))
    return ratio(mass, mass.sum(axis=1, keepdims=True)), mean_confidence, accuracy


def plugin_error(probabilities: Array, labels: Labels, weights: Array, *, bins: int = BINS) -> Array:
    """Sum over equal-width bins of share times |accuracy - confidence|, shape (R,)."""
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == labels).astype(float)
    share, said, was = bin_sums(confidence, correct, equal_width_bins(confidence, bins), weights)
    return np.sum(share * np.abs(was - said), axis=1)


def debiased_error(probabilities: Array, labels: Labels, weights: Array, *, bins: int | None = None) -> Array:
    """Twice the plugin error minus its expectation under binomial noise, shape (R,); may fall below 0."""
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == labels).astype(float)
    member = equal_mass_bins(confidence, bins or sensible_bins(len(labels)))
    share, said, was = bin_sums(confidence, correct, member, weights)
    return _debiased(share, said, was, share * weights.sum(axis=1, keepdims=True))


def equal_mass_error(probabilities: Array, labels: Labels, weights: Array, *, bins: int = BINS) -> Array:
    """Sum over equal-mass bins of share times |accuracy - confidence|, shape (R,); Nguyen & O'Connor 2015."""
    share, said, was = _filled(probabilities, labels, weights, bins)
    return np.sum(share * np.abs(was - said), axis=1)


def maximum_error(probabilities: Array, labels: Labels, weights: Array, *, bins: int | None = None) -> Array:
    """Largest |accuracy - confidence| of a bin, shape (R,); Guo et al. 2017, equation 4.

    In equal-mass bins, as many as debiasing uses: of equal width, a bin of three images would decide it.
    """
    share, said, was = _filled(probabilities, labels, weights, bins or sensible_bins(len(labels)))
    return np.max(np.where(share > 0, np.abs(was - said), 0.0), axis=1)


def _filled(probabilities: Array, labels: Labels, weights: Array, bins: int) -> tuple[Array, Array, Array]:
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == labels).astype(float)
    return bin_sums(confidence, correct, equal_mass_bins(confidence, bins), weights)


def chance_error(probabilities: Array, *, draws: int = 1000, seed: int = 0, level: float = 0.95) -> float:
    """Return what the debiased error of a perfectly calibrated model with these probabilities exceeds 1 time in 20.

    Its top class is right as often as it says, image by image. With more images the figure falls towards 0.
    """
    confidence = probabilities.max(axis=1)
    member = equal_mass_bins(confidence, sensible_bins(len(confidence)))
    one_hot = np.eye(int(member.max()) + 1)[member]
    count = one_hot.sum(axis=0, keepdims=True)
    correct = np.random.default_rng(seed).random((draws, len(confidence))) < confidence
    said = np.nan_to_num(ratio(confidence @ one_hot, count))
    was = np.nan_to_num(ratio(correct.astype(float) @ one_hot, count))
    return float(np.quantile(_debiased(count / len(confidence), said, was, count), level))


def _debiased(share: Array, said: Array, was: Array, count: Array) -> Array:
    gap = was - said
    sigma = np.sqrt(np.nan_to_num(ratio(was * (1 - was), count)))
    return np.sum(share * (2 * np.abs(gap) - folded_normal_mean(gap, sigma)), axis=1)


def folded_normal_mean(mu: Array, sigma: Array) -> Array:
    """Return E|X| for X normal with mean `mu` and standard deviation `sigma` (|mu| where `sigma` is 0)."""
    z = np.divide(mu, sigma, out=np.zeros_like(mu), where=sigma > 0)
    spread = sigma * np.sqrt(2 / np.pi) * np.exp(-np.square(z) / 2) + mu * (1 - 2 * ndtr(-z))
    return np.where(sigma > 0, spread, np.abs(mu))
