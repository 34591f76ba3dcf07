"""How far apart two histograms are: PSI, KL, Jensen-Shannon, Wasserstein, and the tests of KS and chi-square.

Every function takes counts in the same bins, the last axis being bins, and works on any number of pairs at once.
Definitions: PSI is Jeffreys' divergence (Kullback & Leibler 1951); Jensen-Shannon is Lin 1991, in nats; the tests are
those of two samples (Press et al., Numerical Recipes, 14.3). In bins, KS sees less than on raw values: its p errs high.
"""

import numpy as np

SMALLEST_SHARE = 1e-4
"""What an empty bin counts as, so that a logarithm exists; as Evidently 0.7 fills it."""


def psi(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the population stability index of counts (..., K); symmetric, zero for equal shares."""
    r, c = filled(shares(reference)), filled(shares(current))
    return np.asarray(((r - c) * np.log(r / c)).sum(axis=-1))


def kl(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return Kullback-Leibler's divergence of the current from the reference shares, in nats."""
    r, c = filled(shares(reference)), filled(shares(current))
    return np.asarray((c * np.log(c / r)).sum(axis=-1))


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence in nats, between 0 and log 2; the distance is its square root."""
    r, c = shares(reference), shares(current)
    middle = np.where(r + c > 0, (r + c) / 2, 1)

    def against(p: np.ndarray) -> np.ndarray:
        return np.asarray((p * np.log(np.where(p > 0, p, middle) / middle)).sum(axis=-1))

    return (against(r) + against(c)) / 2


def wasserstein(reference: np.ndarray, current: np.ndarray, centres: np.ndarray, deviation: float) -> np.ndarray:
    """Return the first Wasserstein distance of values at the bins' `centres` (K,), in reference deviations."""
    gap = np.abs(np.cumsum(shares(reference) - shares(current), axis=-1))[..., :-1]
    return np.asarray((gap * np.diff(centres)).sum(axis=-1) / (deviation or 1.0))


def ks_p_value(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the asymptotic p of the largest gap between the two cumulative shares."""
    from scipy.special import kolmogorov

    gap = np.abs(np.cumsum(shares(reference) - shares(current), axis=-1)).max(axis=-1)
    m, n = reference.sum(axis=-1), current.sum(axis=-1)
    size = np.sqrt(m * n / np.maximum(m + n, 1))
    return np.asarray(kolmogorov((size + 0.12 + 0.11 / np.maximum(size, 1e-9)) * gap))


def chi_square_p_value(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the p of the two-sample chi-square; bins that both lack do not count."""
    from scipy.special import chdtrc

    r, c = reference.astype(np.float64), current.astype(np.float64)
    m, n = r.sum(axis=-1, keepdims=True), c.sum(axis=-1, keepdims=True)
    both = r + c
    weighed = np.sqrt(n / np.maximum(m, 1)) * r - np.sqrt(m / np.maximum(n, 1)) * c
    statistic = np.where(both > 0, weighed**2 / np.where(both > 0, both, 1), 0).sum(axis=-1)
    return np.asarray(chdtrc(np.maximum((both > 0).sum(axis=-1) - 1, 1), statistic))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p values (F,) adjusted so that none of F true nulls falls below a level more often than it says.

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = np.argsort(p_values)
    left = np.arange(len(p_values), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(p_values[order] * left), 1)
    found = np.empty_like(adjusted)
    found[order] = adjusted
    return found


def shares(counts: np.ndarray) -> np.ndarray:
    """Return counts as shares of their sum; zeros where there is nothing."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.maximum(total, 1))


def filled(parts: np.ndarray) -> np.ndarray:
    """Return shares without zeros, as Evidently fills them: `SMALLEST_SHARE`, or far below the smallest there is."""
    smallest = np.where(parts > 0, parts, np.inf).min(axis=-1, keepdims=True)
    fill = np.where(smallest <= SMALLEST_SHARE, smallest / 1e6, SMALLEST_SHARE)
    return np.where(parts > 0, parts, fill)
