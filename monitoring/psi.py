"""The population stability index, and how large it gets by sampling alone.

PSI adds up (r - c) ln(r / c) over bins, r and c being the shares of reference and current values in a bin. Binning and
the filling of empty bins are Evidently's (0.7), so that the noise found here is that of the figure Evidently reports;
a test holds the two against each other.
"""

import numpy as np

FEW_VALUES = 20
"""Up to this many different reference values, each is its own bin."""
SMALLEST_SHARE = 1e-4


def psi(reference: np.ndarray, current: np.ndarray, *, each_value: bool | None = None) -> float:
    """Return the index of two samples of one figure.

    Args:
        reference: (M,) float64, M > 0.
        current: (N,) float64, N > 0.
        each_value: Whether each value is its own bin, instead of Sturges' equal widths over both samples; decided by
            the reference where absent.
    """
    if each_value is None:
        each_value = len(np.unique(reference)) <= FEW_VALUES
    if each_value:
        values = np.unique(np.concatenate([reference, current]))
        reference_counts, current_counts = _counts_of(reference, values), _counts_of(current, values)
    else:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        reference_counts, current_counts = np.histogram(reference, edges)[0], np.histogram(current, edges)[0]
    r, c = _filled(reference_counts / len(reference)), _filled(current_counts / len(current))
    return float(np.sum((r - c) * np.log(r / c)))


def sampling_noise(reference: np.ndarray, *, sample: int, level: float, resamples: int, seed: int = 0) -> float:
    """Return the index that two samples of one distribution stay below with probability `level`.

    Both sides are drawn anew from the reference, with replacement: the window of `sample` values, and the reference
    itself, which is a sample too. A bootstrap draws no value that the reference lacks, so the true noise of rare
    values is somewhat larger.

    Args:
        reference: (M,) float64.
        sample: Size of the window.
        level: For example 0.99.
        resamples: How often to draw.
        seed: The answer is the same for the same seed.
    """
    chance = np.random.default_rng(seed)
    each_value = len(np.unique(reference)) <= FEW_VALUES
    drawn = [
        psi(chance.choice(reference, len(reference)), chance.choice(reference, sample), each_value=each_value)
        for _ in range(resamples)
    ]
    return float(np.quantile(drawn, level))


def _counts_of(sample: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(values, sample), minlength=len(values))


def _filled(shares: np.ndarray) -> np.ndarray:
    smallest = shares[shares > 0].min()
    return np.where(shares > 0, shares, smallest / 1e6 if smallest <= SMALLEST_SHARE else SMALLEST_SHARE)
