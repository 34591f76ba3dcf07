"""What of an image is no lung: its frame, its corners, letters and arrows at its edge, its size; and its grey values.

Each function turns packed images (N, S, S) or (N, S, S, 3) uint8 into (N, F) float32 for a small probe. None of them
needs a mask of the lungs, so that they can be had for any dataset.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from imaging.evaluation.confounding import border_features
from imaging.inference import PackedImages

Features = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]

AT_ONCE = 128
"""Images read together."""
CORNER = 1 / 7
"""Side of a corner as a share of the image's: shoulders and tables, no lung."""
TEXT_SIDE = 112
"""Letters are looked for at about this side, each cell the brightest of its pixels, so that thin strokes survive."""
WINDOW = 5
"""Of the top-hat at that side: what is narrower than this is a stroke."""
CONTRAST = 48
"""Grey values by which a stroke stands out of what is around it."""
BRIGHT = 144
"""Grey value from which a stroke can be burned in: letters are white, ribs hardly are."""
STROKE_CELLS = (3, 220)
"""Least and most cells of one connected stroke: less is noise, more is a cable or the edge of a cassette."""
EDGE = 0.22
"""Width of the zone at the edge where letters are looked for, as a share of the side."""
LEVELS = 32
COMMON_SIZES = 12
LEAST_OF_A_SIZE = 5
"""Training images that share a size exactly before it is a feature of its own."""


def grey(images: npt.NDArray[np.uint8]) -> Grey:
    """Return (N, S, S), of colour images the mean of the three."""
    return images if images.ndim == 3 else images.mean(axis=3).astype(np.uint8)


def read_features(images: PackedImages, rows: npt.NDArray[np.int64]) -> dict[str, Features]:
    """Return the features of some images by name of the probe, reading a batch of them at a time."""
    sees = {"border": border_features, "corners": corner_features, "text": text_features, "histogram": histogram}
    parts: dict[str, list[Features]] = {name: [] for name in sees}
    for start in range(0, len(rows), AT_ONCE):
        batch = grey(np.asarray(images[rows[start : start + AT_ONCE]]))
        for name, look in sees.items():
            parts[name].append(look(batch))
    return {name: np.concatenate(part) if part else np.empty((0, 1), np.float32) for name, part in parts.items()}


def corner_features(images: Grey, *, cells: int = 8) -> Features:
    """Return the four corners, each averaged to at most `cells` by `cells`, in [0, 1]."""
    count, side = images.shape[:2]
    width = max(1, round(side * CORNER))
    block = max(1, width // cells)
    kept = width // block * block
    parts = []
    for rows in (slice(0, kept), slice(side - kept, side)):
        for columns in (slice(0, kept), slice(side - kept, side)):
            grid = images[:, rows, columns].reshape(count, kept // block, block, kept // block, block)
            parts.append(grid.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1) / 255)
    return np.concatenate(parts, axis=1)


def text_features(images: Grey) -> Features:
    """Return (N, 24): for each of eight zones along the edge how much stroke there is, in how many pieces, how bright.

    A stroke is narrow, bright and stands out: what a white top-hat keeps (Serra 1982, "Image Analysis and Mathematical
    Morphology", chapter XII), in small connected pieces.
    """
    from scipy.ndimage import label

    small = _brightest(images, max(1, images.shape[1] // TEXT_SIDE))
    hat = small - np.minimum(small, _slide(_slide(small, np.minimum), np.maximum))
    strokes = (hat >= CONTRAST) & (small >= BRIGHT)
    side = small.shape[1]
    pieces, found = label(strokes, structure=np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]))
    sizes = np.bincount(pieces.ravel(), minlength=found + 1)
    is_letter = (sizes >= STROKE_CELLS[0]) & (sizes <= STROKE_CELLS[1])
    is_letter[0] = False
    kept = is_letter[pieces]
    first = np.zeros(pieces.size, dtype=bool)  # where each piece begins: counts it once
    cells = np.flatnonzero(kept)
    first[cells[np.unique(pieces.ravel()[cells], return_index=True)[1]]] = True
    first = first.reshape(pieces.shape)
    contrast = hat * kept
    columns = []
    for rows, across in _edge_zones(side):
        zone = (slice(None), rows, across)
        columns += [
            np.sqrt(kept[zone].mean(axis=(1, 2))),
            np.sqrt(first[zone].sum(axis=(1, 2))),
            contrast[zone].max(axis=(1, 2)) / 255,
        ]
    return np.stack(columns, axis=1).astype(np.float32)


def histogram(images: Grey) -> Features:
    """Return (N, 32): the square roots of the shares of grey values, of every second row and column of large images."""
    step = 2 if images.shape[1] >= 2 * TEXT_SIDE else 1
    levels = images[:, ::step, ::step].reshape(len(images), -1) // (256 // LEVELS)
    places = levels.astype(np.int64) + LEVELS * np.arange(len(images))[:, None]
    counts = np.bincount(places.ravel(), minlength=LEVELS * len(images)).reshape(len(images), LEVELS)
    return np.sqrt(counts / max(1, levels.shape[1])).astype(np.float32)


def size_features(columns: Mapping[str, npt.NDArray], train: npt.NDArray, test: npt.NDArray) -> list[Features]:
    """Return the features of the training and of the test rows: size and aspect, and which common size it is exactly.

    Args:
        columns: `rows` and `columns` of every image as it came, before it was made square.
        train: Rows whose common sizes are the features.
        test: Rows to describe alike.
    """
    height, width = (np.maximum(columns[name].astype(np.float64), 1) for name in ("rows", "columns"))
    shapes = np.stack([height, width], axis=1)
    names, counts = np.unique(shapes[train], axis=0, return_counts=True)
    common = names[np.argsort(-counts, kind="stable")[:COMMON_SIZES]]
    common = common[np.sort(-counts, kind="stable")[:COMMON_SIZES] <= -LEAST_OF_A_SIZE]
    aspect = np.log(width / height)
    told = [np.log(height), np.log(width), aspect, np.abs(aspect), aspect == 0]
    told += [(shapes == one).all(axis=1) for one in common]
    everything = np.stack(told, axis=1).astype(np.float32)
    return [everything[train], everything[test]]


def _brightest(images: Grey, block: int) -> Grey:
    """Return the brightest pixel of each `block` by `block`."""
    kept = images.shape[1] // block * block
    cut = images[:, :kept, :kept]
    best = cut[:, ::block, ::block]
    for row in range(block):
        for column in range(block):
            best = np.maximum(best, cut[:, row::block, column::block])
    return best


def _slide(images: Grey, pick: np.ufunc) -> Grey:
    """Return the least or most of the `WINDOW` by `WINDOW` cells around each; at the edge of those there are."""
    for axis in (1, 2):
        best, lead = images.copy(), (slice(None),) * axis
        for step in range(1, WINDOW // 2 + 1):
            ahead, behind = (*lead, slice(step, None)), (*lead, slice(None, -step))
            pick(best[ahead], images[behind], out=best[ahead])
            pick(best[behind], images[ahead], out=best[behind])
        images = best
    return images


def _edge_zones(side: int) -> list[tuple[slice, slice]]:
    """Return the eight zones along the edge: four corners and what is between them."""
    width = max(1, round(side * EDGE))
    thirds = (slice(0, width), slice(width, side - width), slice(side - width, side))
    return [(thirds[row], thirds[column]) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
