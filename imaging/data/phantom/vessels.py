"""The vessels that branch out from the hila: what makes a lung look like one."""

from collections.abc import Callable
from functools import lru_cache
from itertools import cycle
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from imaging.data.phantom.grid import Array

DRAWS = 2048
STEMS = 9
LEVELS = 3


@lru_cache(maxsize=2)
def vessel_tree(key: tuple[int, ...], size: int) -> Array:
    """Return the markings of both lungs of patient `key`, (size, size) in [0, 1]; do not write to it.

    Two are kept, because a patient's pictures are painted one after the other.
    """
    draws = cycle(np.random.default_rng((*key, 5)).random(DRAWS).tolist()).__next__
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    for side in (-1, 1):
        for stem in range(STEMS):
            angle = (stem - STEMS // 2) * 0.36 + 0.35 * (draws() - 0.5)
            start = ((1 + side * 0.14) * size / 2, (0.96 + 0.02 * (stem - STEMS // 2)) * size / 2)
            _grow(draw, draws, side, start, angle, 0.026 * size / 2, 0, size / 2)
    softened = canvas.filter(ImageFilter.BoxBlur(size / 512)).filter(ImageFilter.BoxBlur(size / 512))
    markings = np.asarray(softened, dtype=np.float32) * np.float32(1 / 255)
    markings.setflags(write=False)
    return markings


def _grow(
    draw: ImageDraw.ImageDraw,
    draws: Callable[[], float],
    side: int,
    place: tuple[float, float],
    angle: float,
    width: float,
    level: int,
    scale: float,
) -> None:
    """Draw one vessel in bent pieces, thinner and fainter outwards, and let it fork."""
    for _ in range(4 - level // 2):
        length = (0.05 + 0.05 * draws()) * scale
        angle += 0.55 * (draws() - 0.5) + 0.03 * sin(angle)
        end = (place[0] + side * length * cos(angle), place[1] + length * sin(angle))
        grey = int(min(255, 40 + 11500 * width / scale))
        draw.line((place, end), fill=grey, width=max(1, round(width)))
        place, width = end, width * 0.86
        if level < LEVELS and width > 0.004 * scale and draws() < 0.62:
            fork = angle + (0.35 + 0.45 * draws()) * (1 if draws() < 0.5 else -1)
            if abs(fork) < pi * 0.6:
                _grow(draw, draws, side, place, fork, width * 0.7, level + 1, scale)
