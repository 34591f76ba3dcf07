"""Whether two clouds of embeddings are one: maximum mean discrepancy, with a p from permutations.

Gretton et al. 2012, "A Kernel Two-Sample Test", JMLR 13: the unbiased statistic (equation 3) under a Gaussian kernel
whose width is the median distance. It sees what no single coordinate shows.
"""

import numpy as np

MOST_ROWS = 400
"""Of each side: the kernel is the square of their sum."""
PERMUTATIONS = 4_000
AT_ONCE = 500


def mmd_p_value(reference: np.ndarray, current: np.ndarray, *, permutations: int, seed: int = 0) -> float:
    """Return how often a random division of both clouds lies as far apart; at least 1 / (permutations + 1).

    Args:
        reference: (M, D), M > 1; of more than `MOST_ROWS`, a random choice is taken.
        current: (N, D), likewise.
        permutations: How many divisions to try.
        seed: The answer is the same for the same seed.
    """
    chance = np.random.default_rng(seed)
    first, second = (_some(rows, chance) for rows in (reference, current))
    kernel = _kernel(np.concatenate([first, second]).astype(np.float64))
    m, n = len(first), len(second)
    observed = _statistic(kernel, np.arange(m + n)[np.newaxis] < m, m, n)[0]
    beyond = 0
    for begin in range(0, permutations, AT_ONCE):
        count = min(AT_ONCE, permutations - begin)
        order = chance.random((count, m + n)).argsort(axis=1)
        beyond += int((_statistic(kernel, order < m, m, n) >= observed - 1e-12).sum())
    return (beyond + 1) / (permutations + 1)


def _some(rows: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= MOST_ROWS else rows[chance.choice(len(rows), MOST_ROWS, replace=False)]


def _kernel(rows: np.ndarray) -> np.ndarray:
    """Return the Gaussian kernel (K, K) of rows (K, D), its diagonal left out."""
    norms = (rows**2).sum(axis=1)
    away = np.maximum(norms[:, np.newaxis] + norms - 2 * rows @ rows.T, 0)
    width = float(np.median(away[np.triu_indices(len(rows), 1)])) or 1.0
    kernel = np.exp(-away / width)
    np.fill_diagonal(kernel, 0)
    return kernel


def _statistic(kernel: np.ndarray, is_first: np.ndarray, m: int, n: int) -> np.ndarray:
    """Return the squared discrepancy (P,) of divisions (P, K)."""
    one = is_first.astype(np.float64)
    within = ((one @ kernel) * one).sum(axis=1)
    across = (one @ kernel).sum(axis=1) - within
    other = kernel.sum() - within - 2 * across
    return within / (m * (m - 1)) + other / (n * (n - 1)) - 2 * across / (m * n)
