"""A heat map laid over its image, as a PNG."""

import io

import numpy as np
from PIL import Image

from imaging.errors import ConfigurationError

STOPS = np.array([0.0, 0.35, 0.65, 1.0])
COLOURS = np.array([(0, 0, 160), (0, 190, 220), (250, 220, 40), (220, 20, 20)], dtype=np.float64)
"""Blue for little through yellow to red for much."""
STRONGEST = 0.55
"""Share of colour where the heat map is 1; the image stays visible everywhere."""


def overlay_png(image: np.ndarray, heat_map: np.ndarray) -> bytes:
    """Draw `heat_map` over `image`; where the map is 0, the image is left as it is.

    Args:
        image: (H, W) or, in colour, (H, W, 3) uint8.
        heat_map: (h, w) float in [0, 1]; stretched to the image where its size differs.

    Returns:
        An RGB PNG of the image's size, compressed at the fastest level.

    Raises:
        ConfigurationError: when the image is no such picture, or the map has channels.
    """
    is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not is_picture or heat_map.ndim != 2 or image.dtype != np.uint8:
        raise ConfigurationError("an overlay needs an image (H, W) or (H, W, 3) of uint8 and a heat map (h, w)")
    height, width = image.shape[:2]
    heat = heat_map.astype(np.float32)
    if heat.shape != (height, width):
        heat = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    heat = np.clip(heat, 0.0, 1.0)
    colour = np.stack([np.interp(heat, STOPS, COLOURS[:, channel]) for channel in range(3)], axis=-1)
    share = (STRONGEST * heat)[..., np.newaxis]
    mixed = image.reshape(height, width, -1) * (1 - share) + colour * share
    buffer = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
