"""Coordinates, textures and smoothing shared by every picture of one size; computed once and kept.

The picture spans x in [-1, 1] (left to right) and y in [-1, 1] (top to bottom). Arrays are float32.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float32]

COARSE = 64
"""Side of the coarse grid on which scatter and other slow variations are computed."""

Band = tuple[float, float]
PATCHES: Band = (1.5, 9.0)
"""Cycles per picture of the field that gives opacities their ragged outline."""
TISSUE: Band = (10.0, 70.0)
"""Cycles per picture of the fine marking of the lungs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Coordinates of pixel centres: `x` (1, S) and `y` (S, 1)."""

    size: int
    x: Array
    y: Array

    def rows(self, low: float, high: float) -> slice:
        """Return the rows whose y lies in [low, high]."""
        return _span(self.size, low, high)

    def columns(self, low: float, high: float) -> slice:
        """Return the columns whose x lies in [low, high]."""
        return _span(self.size, low, high)


def _span(size: int, low: float, high: float) -> slice:
    return slice(max(0, int((low + 1) / 2 * size)), min(size, int((high + 1) / 2 * size) + 1))


@cache
def grid(size: int) -> Grid:
    """Return the grid of a `size` x `size` picture."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    return Grid(size=size, x=centres[None, :], y=centres[:, None])


def coarse(image: Array) -> Array:
    """Return the (COARSE, COARSE) local means of a square image."""
    return np.asarray(Image.fromarray(image).resize((COARSE, COARSE), Image.Resampling.BOX))


def smooth_upsample(values: Array, size: int) -> Array:
    """Return `values` (COARSE, COARSE) as a smooth (size, size) image; read-only.

    Pillow and not a matrix product: it keeps to one core, and its result does not depend on their number.
    """
    return np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC))


def blur_coarse(values: Array, width: float) -> Array:
    """Blur a coarse image; `width` is the standard deviation in units of the picture's half side."""
    sigma = width * COARSE / 2
    rows = gaussian_filter1d(values, sigma, axis=0, mode="nearest")
    return gaussian_filter1d(rows, sigma, axis=1, mode="nearest")


@cache
def _sheet(size: int, band: Band) -> Array:
    """A periodic random texture (2 S, 2 S) of unit variance whose power falls with frequency inside `band`."""
    side = 2 * size
    noise = np.random.default_rng([size, int(band[0] * 10)]).standard_normal((side, side), dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]) * size
    low, high = band
    power = np.where(frequency > 0, 1 / np.maximum(frequency, low) ** 1.3, 0) * np.exp(-((frequency / high) ** 2))
    texture = np.fft.irfft2(np.fft.rfft2(noise) * power * (frequency > low / 2), s=(side, side))
    return (texture / texture.std()).astype(np.float32)


def texture(rng: np.random.Generator, size: int, band: Band) -> Array:
    """Return a random (size, size) piece of texture, of about unit variance; do not write to it."""
    top, left, turn = rng.integers(0, (size, size, 4)).tolist()
    piece = _sheet(size, band)[top : top + size, left : left + size]
    return piece[:: 1 - 2 * (turn & 1), :: 1 - (turn & 2)]


def curve(grid_: Grid, knots: list[tuple[float, float]], *, smoothing: float = 0.06) -> Array:
    """Return a smooth function of y, (S, 1), through `knots` (y, value)."""
    places, values = zip(*knots, strict=True)
    drawn = np.interp(grid_.y[:, 0], places, values)
    return gaussian_filter1d(drawn, smoothing * grid_.size / 2, mode="nearest").astype(np.float32)[:, None]


def ramp(distance: Array, width: float) -> Array:
    """Return 0 where `distance` <= 0, 1 where >= `width`, and a smooth step between."""
    step = np.multiply(distance, np.float32(1 / width))
    np.clip(step, 0, 1, out=step)
    bend = np.float32(3) - step - step
    step *= step
    step *= bend
    return step


def dome(distance: Array, width: float) -> Array:
    """Return the depth of a rounded body: 0 at `distance` 0, rising steeply, 1 from `width` on."""
    inside = 1 - np.clip(distance * np.float32(1 / width), 0, 1)
    return np.sqrt(1 - inside * inside)
