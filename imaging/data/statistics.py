"""Numbers that describe how an image looks, the same in ingest, serving and drift."""

import numpy as np

STATISTICS: tuple[str, ...] = ("mean", "std", "p05", "p50", "p95", "dark_fraction", "bright_fraction", "sharpness")
DARK = 26
BRIGHT = 230
"""Grey levels of 255 below and from which a pixel counts as dark or bright: the outer tenths."""
LUMINANCE = (77, 150, 29)
"""ITU-R BT.601 in 256ths, exact in integers."""
FEW_ENOUGH = 2**14
"""Pixels from which an image is worth a call of its own."""
AT_ONCE = 2**20
"""Pixels described in one piece: enough to leave Python behind, few enough for the cache and the memory."""


def image_statistics(images: np.ndarray) -> dict[str, np.ndarray]:
    """Describe each image by itself: the answer for one does not depend on the others.

    Args:
        images: uint8, (N, S, S) grey or (N, S, S, 3) RGB, which is described by its luminance.

    Returns:
        For each name of `STATISTICS` a float64 (N,), as fractions of full scale: mean, standard
        deviation, percentiles, fraction of dark and of bright pixels, and sharpness (mean absolute
        difference between neighbours).
    """
    side = max(int(np.prod(images.shape[1:3])), 1)
    step = max(1, AT_ONCE // side)
    pieces = [_described(luminance(images[start : start + step])) for start in range(0, len(images), step)]
    columns = np.concatenate(pieces) if pieces else np.empty((0, len(STATISTICS)))
    return {name: columns[:, i].copy() for i, name in enumerate(STATISTICS)}


def luminance(images: np.ndarray) -> np.ndarray:
    """Return the grey values of images (..., S, S) or (N, S, S, 3), uint8; grey ones as they are."""
    if images.ndim < 4:
        return np.asarray(images)
    red, green, blue = (images[..., i].astype(np.uint16) * weight for i, weight in enumerate(LUMINANCE))
    return ((red + green + blue + 128) >> 8).astype(np.uint8)


def _described(images: np.ndarray) -> np.ndarray:
    """Compute (N, statistics) from histograms, in exact integers as far as possible."""
    rows, columns = images.shape[1:]
    total = rows * columns
    counts = _histograms(images)
    levels = np.arange(256)
    mean = (counts @ levels) / total
    variance = np.maximum((counts @ (levels * levels)) / total - mean * mean, 0.0)
    # Python's power, not numpy's root: their last bits differ, and the digests of old dataset versions hold these.
    deviation = np.array([value**0.5 for value in variance.tolist()])
    cumulative = np.cumsum(counts, axis=1)
    percentiles = [(cumulative < q * total).sum(axis=1) / 255 for q in (0.05, 0.5, 0.95)]
    dark, bright = counts[:, :DARK].sum(axis=1) / total, counts[:, BRIGHT:].sum(axis=1) / total
    steps = _steps(images[:, 1:], images[:, :-1]) + _steps(images[:, :, 1:], images[:, :, :-1])
    pairs = max(2 * total - rows - columns, 1)
    return np.stack([mean / 255, deviation / 255, *percentiles, dark, bright, steps / pairs / 255], axis=1)


def _histograms(images: np.ndarray) -> np.ndarray:
    """Return (N, 256) counts of the grey values."""
    count = len(images)
    if images[0].size >= FEW_ENOUGH:
        return np.stack([np.bincount(image.reshape(-1), minlength=256) for image in images])
    places = images.reshape(count, -1).astype(np.int64) + 256 * np.arange(count)[:, None]
    return np.bincount(places.reshape(-1), minlength=256 * count).reshape(count, 256)


def _steps(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the sum of the absolute differences between neighbours, (N,) integers."""
    return (np.maximum(after, before) - np.minimum(after, before)).sum(axis=(1, 2), dtype=np.int64)
