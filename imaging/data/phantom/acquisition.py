"""From attenuation to the grey values a device shows: scatter, quantum noise, processing, collimation, marker."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from imaging.data.phantom.grid import Array, blur_coarse, coarse, grid, smooth_upsample
from imaging.data.phantom.styles import Style

LEVELS = 4096
"""Grey levels of a 12-bit device."""
COMPRESSION = 0.5
"""Part of the slow variation that processing removes, so that lungs and abdomen are both seen."""


def acquire(attenuation: Array, style: Style, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return display values (S, S) in 0..4095, bright where the beam is stopped (MONOCHROME2)."""
    signal = _detect(attenuation, style, rng)
    signal -= smooth_upsample(blur_coarse(coarse(signal), 0.22) * np.float32(COMPRESSION), len(signal))
    _process(signal, style.sharpness)
    margins = _margins(style, rng)
    low, high = _range(signal, margins)
    high += (high - low) * float(rng.normal(0, 0.03))
    signal -= np.float32(low)
    signal *= np.float32((LEVELS - 1) / (high - low))
    np.clip(signal, 0, LEVELS - 1, out=signal)
    table = _tone(style, float(rng.normal(0, 0.035)), float(rng.normal(0, 0.012)))
    shown = table[signal.astype(np.uint16)]
    _stamp(shown, style, rng)
    _collimate(shown, margins)
    return shown


def _detect(attenuation: Array, style: Style, rng: np.random.Generator) -> Array:
    """Log signal after adding scattered rays and quantum noise."""
    size = len(attenuation)
    beam = np.exp(-attenuation)
    stray = blur_coarse(coarse(beam), 0.16) * np.float32(style.scatter * rng.uniform(0.85, 1.15))
    beam += smooth_upsample(stray, size)
    grain = _grain(rng, size)
    grain *= np.sqrt(beam)
    grain *= np.float32(style.noise * rng.uniform(0.8, 1.25))
    beam += grain
    np.maximum(beam, np.float32(2e-3), out=beam)
    return -np.log(beam)


def _grain(rng: np.random.Generator, size: int) -> Array:
    """Noise of unit variance: the sum of two uniforms, which costs a quarter of a normal draw."""
    pairs = np.frombuffer(rng.bytes(4 * size * size), dtype="<i2").reshape(2, size, size)
    return np.add(pairs[0], pairs[1], dtype=np.float32) * np.float32(np.sqrt(1.5) / 2**15)


def _process(signal: Array, sharpness: float) -> None:
    """Add (or, below zero, take away) the detail that a 3 x 3 binomial blur removes, in place."""
    blurred = signal.copy()
    blurred[1:-1] = (signal[:-2] + signal[2:]) * np.float32(0.25) + signal[1:-1] * np.float32(0.5)
    smooth = blurred.copy()
    smooth[:, 1:-1] = (blurred[:, :-2] + blurred[:, 2:]) * np.float32(0.25) + blurred[:, 1:-1] * np.float32(0.5)
    detail = signal - smooth
    detail *= np.float32(sharpness)
    signal += detail


def _margins(style: Style, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Collimated margins left, right, top, bottom, in half sides; half of all pictures have none."""
    widths = rng.uniform(0, style.border, 4) * (rng.random(4) < 0.6)
    return tuple(float(width) for width in widths * (rng.random() < 0.5))  # type: ignore[return-value]


def _range(signal: Array, margins: tuple[float, float, float, float]) -> tuple[float, float]:
    """Grey range of the exposed field, as automatic processing finds it."""
    step = max(1, len(signal) // 64)
    seen = np.sort(signal[step // 2 :: step, step // 2 :: step], axis=None)
    return float(seen[int(0.02 * len(seen))]), float(seen[int(0.985 * len(seen))]) + 0.1


def _tone(style: Style, gamma_error: float, brightness_error: float) -> NDArray[np.uint16]:
    """Table from linear to shown grey: gamma, then an S-shaped curve of the device's contrast."""
    grey = np.linspace(0, 1, LEVELS)
    shown = grey ** (style.gamma * (1.0 + gamma_error))
    shown = 0.5 + (shown - 0.5) * style.contrast + style.brightness + brightness_error
    return np.rint(np.clip(shown, 0, 1) * (LEVELS - 1)).astype(np.uint16)


def _collimate(shown: NDArray[np.uint16], margins: tuple[float, float, float, float]) -> None:
    """Black out what the collimator closed, in place."""
    space = grid(len(shown))
    left, right, top, bottom = margins
    shown[:, : space.columns(-1, left - 1).stop - 1] = 0
    shown[:, space.columns(1 - right, 1).start + 1 :] = 0
    shown[: space.rows(-1, top - 1).stop - 1] = 0
    shown[space.rows(1 - bottom, 1).start + 1 :] = 0


def _stamp(shown: NDArray[np.uint16], style: Style, rng: np.random.Generator) -> None:
    """Lay a lead side marker on the picture, in place: bright, never over the lungs."""
    x, y = style.marker
    size = len(shown)
    letter = _letter("L" if x > 0 else "R", max(9, size // 18))
    height, width = letter.shape
    row, column = np.clip(
        [((y + rng.normal(0, 0.02) + 1) * size - height) / 2, ((x + rng.normal(0, 0.02) + 1) * size - width) / 2],
        0,
        [size - height, size - width],
    ).astype(int)
    patch = shown[row : row + height, column : column + width]
    np.maximum(patch, (letter * np.float32(rng.uniform(0.8, 0.95) * (LEVELS - 1))).astype(np.uint16), out=patch)


@cache
def _letter(text: str, height: int) -> Array:
    font = ImageFont.load_default(height)
    canvas = Image.new("L", (height, height + height // 3))
    ImageDraw.Draw(canvas).text((height // 6, 0), text, fill=255, font=font)
    return np.asarray(canvas, dtype=np.float32) * np.float32(1 / 255)
