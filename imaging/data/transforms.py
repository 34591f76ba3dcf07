"""The one geometric transform: a picture of any size to the packed square, in ingest and in serving."""

import numpy as np
from PIL import Image


def to_square_uint8(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize grey values to a square, with antialiasing, without crop or padding.

    Args:
        pixels: (rows, columns) float32 in [0, 1].
        size: Side of the square, in pixels.

    Returns:
        (size, size) uint8; the same input gives the same bytes everywhere.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.clip(np.rint(resized * 255), 0, 255).astype(np.uint8)


def to_square_rgb_uint8(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize a colour picture to a square as `to_square_uint8` does a grey one.

    Args:
        pixels: (rows, columns, 3) uint8.
        size: Side of the square, in pixels.

    Returns:
        (size, size, 3) uint8; a picture that has this size already comes back unchanged.
    """
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
