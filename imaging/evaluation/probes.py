"""Images that are no radiograph a model was made for, made by rule: what must be referred and not classified.

A probe is given the test part's own images where it turns or inverts them, and nothing where it draws. None of them is
taken by any fit or threshold.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Probe = Callable[[Images, np.random.Generator], Images]


def noise(images: Images, rng: np.random.Generator) -> Images:
    """Draw every pixel evenly from black to white."""
    return rng.integers(0, 256, images.shape, dtype=np.uint8)


def inverted(images: Images, rng: np.random.Generator) -> Images:
    """Turn black to white: a radiograph whose photometric interpretation was misread."""
    return np.asarray(255 - images, dtype=np.uint8)


def turned(images: Images, rng: np.random.Generator) -> Images:
    """Rotate by a quarter."""
    return np.ascontiguousarray(np.rot90(images, axes=(1, 2)))


def hand(images: Images, rng: np.random.Generator) -> Images:
    """Draw the bones of a hand: a palm and five fingers of three bones each, bright on dark."""
    from PIL import Image, ImageDraw, ImageFilter

    side, drawn = images.shape[1], []
    for _ in range(len(images)):
        canvas = Image.new("L", (256, 256), int(rng.integers(5, 30)))
        pen = ImageDraw.Draw(canvas)
        tilt, spread = rng.uniform(-0.2, 0.2), rng.uniform(0.22, 0.34)
        pen.ellipse((88, 140, 168, 235), fill=int(rng.integers(60, 90)))
        for finger in range(5):
            angle = tilt + spread * (finger - 2)
            start = np.array([128 + 70 * np.sin(angle), 190 - 70 * np.cos(angle)])
            for bone in (48, 30, 20):
                step = bone * (0.72 if finger in (0, 4) else 1.0) * np.array([np.sin(angle), -np.cos(angle)])
                pen.line([*start, *(start + 0.86 * step)], fill=int(rng.integers(170, 235)), width=9)
                start = start + step
        soft = canvas.filter(ImageFilter.GaussianBlur(1.5)).resize((side, side), Image.Resampling.BILINEAR)
        drawn.append(np.asarray(soft))
    return _as_channels(np.stack(drawn), images)


def photo(images: Images, rng: np.random.Generator) -> Images:
    """Make the texture of a photograph: noise whose power falls as in natural scenes, with flat bright shapes on it.

    The fall is Field 1987's, amplitude as 1 over frequency.
    """
    from PIL import Image, ImageDraw

    side = images.shape[1]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    drawn = []
    for _ in range(len(images)):
        waves = np.fft.fft2(rng.normal(size=(side, side))) / frequency
        scene = np.fft.ifft2(waves).real
        grey = 127 + 55 * (scene - scene.mean()) / scene.std()
        canvas = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
        pen = ImageDraw.Draw(canvas)
        for _ in range(4):
            left, top = rng.uniform(0, 0.8, 2) * side
            width, height = rng.uniform(0.1, 0.4, 2) * side
            pen.rectangle((left, top, left + width, top + height), fill=int(rng.integers(0, 256)))
        drawn.append(np.asarray(canvas))
    return _as_channels(np.stack(drawn), images)


def flat(images: Images, rng: np.random.Generator) -> Images:
    """Give one grey value each: an exposure with nothing before the detector."""
    values = rng.integers(0, 256, len(images), dtype=np.uint8)
    return np.broadcast_to(values.reshape(-1, *(1,) * (images.ndim - 1)), images.shape).copy()


def _as_channels(grey: Images, images: Images) -> Images:
    return grey if images.ndim == 3 else np.repeat(grey[..., np.newaxis], images.shape[3], axis=3)


PROBES: dict[str, Probe] = {
    "noise": noise,
    "nothing but one grey": flat,
    "the texture of a photograph": photo,
    "a drawn hand": hand,
    "the image inverted": inverted,
    "the image turned by 90 degrees": turned,
}
"""In the order of the report."""
