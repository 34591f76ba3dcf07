"""Numbers that describe how an image looks, the same in ingest, serving and drift."""

import numpy as np

STATISTICS: tuple[str, ...] = ("mean", "std", "p05", "p50", "p95", "dark_fraction", "bright_fraction", "sharpness")
DARK = 26
BRIGHT = 230
"""Grey levels of 255 below and from which a pixel counts as dark or bright: the outer tenths."""


def image_statistics(images: np.ndarray) -> dict[str, np.ndarray]:
    """Describe each image by itself: the answer for one does not depend on the others.

    Args:
        images: (N, S, S) uint8.

    Returns:
        For each name of `STATISTICS` a float64 (N,), as fractions of full scale: mean, standard
        deviation, percentiles, fraction of dark and of bright pixels, and sharpness (mean absolute
        difference between neighbours).
    """
    rows = [_one(image) for image in images]
    columns = np.array(rows, np.float64).reshape(len(rows), len(STATISTICS))
    return {name: columns[:, i].copy() for i, name in enumerate(STATISTICS)}


def _one(image: np.ndarray) -> tuple[float, ...]:
    """Compute from the histogram, in exact integers as far as possible."""
    counts = np.bincount(image.reshape(-1), minlength=256)
    levels = np.arange(256)
    total = int(counts.sum())
    mean = float(counts @ levels) / total
    variance = max(float(counts @ (levels * levels)) / total - mean * mean, 0.0)
    cumulative = np.cumsum(counts)
    low, middle, high = (int(np.searchsorted(cumulative, q * total)) / 255 for q in (0.05, 0.5, 0.95))
    dark, bright = int(counts[:DARK].sum()) / total, int(counts[BRIGHT:].sum()) / total
    signed = image.astype(np.int16)
    steps = int(np.abs(np.diff(signed, axis=0)).sum()) + int(np.abs(np.diff(signed, axis=1)).sum())
    pairs = max(2 * image.size - image.shape[0] - image.shape[1], 1)
    return mean / 255, variance**0.5 / 255, low, middle, high, dark, bright, steps / pairs / 255
