"""PNG and JPEG: radiographs (8 or 16 bits of grey, or grey that was saved as colour), and pictures of anything."""

import io

import numpy as np
from PIL import Image, ImageOps

from imaging.dicom.grey_values import stretch
from imaging.dicom.image import Limits
from imaging.dicom.screening import check_size
from imaging.errors import ImageTooLargeError, InvalidImageError, MalformedImageError, NotAChestRadiographError

COLOURED = 24
"""Distance between the channels (of 255) above which a pixel counts as coloured; JPEG alone makes a few."""
FEW = 0.002
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601, as in JFIF."""
MOST_COLOURED = 0.03
"""A coloured label or arrow fits in this fraction of a picture; a photograph does not."""


def decode_picture(data: bytes, limits: Limits) -> tuple[np.ndarray, list[str]]:
    """Return the grey values (rows, columns) float32 in [0, 1], and the doubts about them.

    Raises:
        NotAChestRadiographError: a colour picture or an animation.
        ImageTooLargeError, ImageQualityError: the size is out of bounds.
    """
    warnings: list[str] = []
    upright = _upright(data, limits, NotAChestRadiographError)
    if upright.mode.startswith(("I", "F")):
        return _sixteen_bits(np.asarray(upright), warnings), warnings
    if upright.mode in ("1", "L"):
        return np.asarray(upright.convert("L"), np.float32) / 255, warnings
    if upright.mode == "LA":
        return np.asarray(upright.getchannel("L"), np.float32) / 255, warnings
    return _from_colour(np.asarray(upright.convert("RGB")), warnings), warnings


def decode_rgb(data: bytes, limits: Limits) -> tuple[np.ndarray, bool]:
    """Return any picture as (rows, columns, 3) uint8, turned as its EXIF says, and whether it is grey.

    What is transparent is shown on black, and 16 bits of grey are scaled to 8.

    Raises:
        MalformedImageError: an animation.
        ImageTooLargeError, ImageQualityError: the size is out of bounds.
    """
    upright = _upright(data, limits, MalformedImageError)
    if upright.mode.startswith(("I", "F")):
        upright = Image.fromarray(np.rint(_sixteen_bits(np.asarray(upright), []) * 255).astype(np.uint8))
    if upright.mode in ("1", "L"):
        return np.repeat(np.asarray(upright.convert("L"))[:, :, None], 3, axis=2), True
    if upright.has_transparency_data:
        colour = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", colour.size, (0, 0, 0, 255)), colour)
    rgb = np.asarray(upright.convert("RGB"))
    is_grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())
    return rgb, is_grey


def _upright(data: bytes, limits: Limits, refusal: type[InvalidImageError]) -> Image.Image:
    with _opened(data) as image:
        check_size(image.height, image.width, limits)
        if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise refusal("expected one picture, got an animation")
        image.load()
        return ImageOps.exif_transpose(image)


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError("the picture has more pixels than are ever read") from error


def _sixteen_bits(values: np.ndarray, warnings: list[str]) -> np.ndarray:
    """Scale 16 bits of grey; 10 or 12 bits left unscaled in them are stretched, with a warning."""
    top = float(values.max())
    if top < 65535 / 4 and top > float(values.min()):
        warnings.append("window_missing")
        grey = values.astype(np.float32)
        return stretch(grey, grey.reshape(-1)[:: max(1, grey.size // 1_000_000)])
    return np.clip(values.astype(np.float32) / 65535, 0, 1)


def _from_colour(rgb: np.ndarray, warnings: list[str]) -> np.ndarray:
    spread = rgb.max(axis=2).astype(np.int16) - rgb.min(axis=2)
    coloured = float((spread > COLOURED).mean())
    if coloured > MOST_COLOURED:
        raise NotAChestRadiographError(f"expected a greyscale picture, got {coloured:.0%} coloured pixels")
    if coloured > FEW:
        warnings.append("colour_marks")
    return np.clip(rgb.astype(np.float32) @ LUMINANCE / 255, 0, 1)
