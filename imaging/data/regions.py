"""Places in a picture, as a label table and a dataset keep them: boxes in shares of the picture's sides.

`0.1 0.2 0.4 0.6; 0.5 0.5 0.9 0.9` are two boxes, each left, top, right and bottom, from 0 to 1. A packed image is its
picture resized without crop or border, so the shares are the same in both.
"""

from collections.abc import Sequence

import numpy as np

from imaging.errors import DataError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Read boxes; no text is no box.

    Raises:
        DataError: not four numbers each, or a box that is empty or outside the picture.
    """
    boxes = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        try:
            left, top, right, bottom = map(float, part.split())
        except ValueError as error:
            raise DataError("expected boxes of four numbers, `left top right bottom`, with ; between") from error
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise DataError("expected a box's sides as shares of the picture: 0 <= left < right <= 1, and so down")
        boxes.append((left, top, right, bottom))
    return tuple(boxes)


def boxes_text(boxes: Sequence[Box]) -> str:
    """Write boxes as `parse_boxes` reads them, to a ten-thousandth of the side."""
    return "; ".join(" ".join(f"{side:.4f}" for side in box) for box in boxes)


def box_around(mask: np.ndarray) -> Box | None:
    """Return the smallest box around what is true in a square (S, S), or nothing where nothing is."""
    if not mask.any():
        return None
    size = mask.shape[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    left, top, right, bottom = (float(edge) / size for edge in edges)
    return left, top, right, bottom


def mask_of(boxes: Sequence[Box], size: int) -> np.ndarray:
    """Return (size, size) float64: the share of each pixel that lies in any of the boxes, by 4 x 4 points."""
    points = (np.arange(4 * size) + 0.5) / (4 * size)
    inside = np.zeros((4 * size, 4 * size), bool)
    for left, top, right, bottom in boxes:
        inside |= ((points >= top) & (points < bottom))[:, None] & ((points >= left) & (points < right))[None, :]
    return inside.reshape(size, 4, size, 4).mean(axis=(1, 3))
