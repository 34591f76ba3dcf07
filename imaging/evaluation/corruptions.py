"""Ways in which a radiograph arrives other than it was trained on, each in three severities.

After Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
with kinds and severities of radiography: the first severity of each is what a working day brings, the third what
somebody would notice at once. Noise is of the packed image: a raw pixel's noise of some 4 % of white is 0.4 % once a
square of 11 by 11 of them is one pixel, and twice that at a quarter of the dose, hence 1 %. All work on packed uint8
images, a batch at a time; sizes are shares of the side, so that they mean the same at 224 and at 512 px. Where a
change has two directions (darker or brighter, left or right), each image's own is drawn: a set that is shifted as a
whole keeps its ranks, a set of many devices does not.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

BATCH = 32
"""Images changed at once: bounds memory."""
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What is random about each image of a batch: the same at every severity.

    Attributes:
        sign: (N,) -1 or 1.
        place: (N, 2) in [-1, 1].
        rng: For what has a draw a pixel.
    """

    sign: Tensor
    place: Tensor
    rng: np.random.Generator


Change = Callable[[Tensor, float, Draws], Tensor]
"""Changes images (N, c, S, S) float32 in [0, 1]; the result may leave that range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corruption:
    """One way to change images. `levels` are what `change` takes, mildest first; `texts` say them to a reader."""

    title: str
    change: Change
    levels: tuple[float, ...]
    texts: tuple[str, ...]
    gated: bool = True
    """Whether a model that is served has to stand its first severity."""


def add_noise(unit: Tensor, sigma: float, draws: Draws) -> Tensor:
    """Add independent Gaussian noise to every pixel, the same to all colours."""
    shape = (len(unit), 1, *unit.shape[2:])
    return unit + sigma * torch.from_numpy(draws.rng.standard_normal(shape, dtype=np.float32))


def blur(unit: Tensor, share: float, _draws: Draws) -> Tensor:
    """Convolve with a Gaussian whose standard deviation is a share of the side."""
    sigma = share * unit.shape[-1]
    reach = min(max(1, round(3 * sigma)), unit.shape[-1] - 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / max(sigma, 1e-6)) ** 2)
    kernel = (kernel / kernel.sum()).expand(unit.shape[1], 1, 1, -1)
    padded = functional.pad(unit, (reach,) * 4, mode="replicate")
    along = functional.conv2d(padded, kernel, groups=unit.shape[1])
    return functional.conv2d(along, kernel.transpose(2, 3), groups=unit.shape[1])


def change_contrast(unit: Tensor, factor: float, draws: Draws) -> Tensor:
    """Stretch each image's values around their mean by the factor, or by its inverse."""
    mean = unit.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (unit - mean) * _of_each(factor**draws.sign)


def change_brightness(unit: Tensor, gamma: float, draws: Draws) -> Tensor:
    """Raise each image's values to the power gamma, or to its inverse."""
    return unit ** _of_each(gamma**draws.sign)


def rotate(unit: Tensor, degrees: float, draws: Draws) -> Tensor:
    """Turn each image about its centre, left or right; what comes in from outside repeats the edge."""
    angle = draws.sign * np.deg2rad(degrees)
    nothing = torch.zeros_like(angle)
    rows = (torch.cos(angle), -torch.sin(angle), nothing), (torch.sin(angle), torch.cos(angle), nothing)
    return _warped(unit, rows)


def crop(unit: Tensor, share: float, draws: Draws) -> Tensor:
    """Keep a square of a share of the side, anywhere in the image, and enlarge it to the whole."""
    shift = draws.place * (1 - share)
    scale, nothing = torch.full_like(draws.sign, share), torch.zeros_like(draws.sign)
    return _warped(unit, ((scale, nothing, shift[:, 0]), (nothing, scale, shift[:, 1])))


def compress(unit: Tensor, quality: float, _draws: Draws) -> Tensor:
    """Write each image as JPEG of that quality and read it again."""
    read = []
    for image in _packed(unit):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="JPEG", quality=int(quality))
        read.append(np.asarray(Image.open(buffer)))
    return _unit(np.stack(read))


def lower_resolution(unit: Tensor, share: float, _draws: Draws) -> Tensor:
    """Shrink each image to a share of its side, and enlarge it again."""
    small = max(1, round(share * unit.shape[-1]))
    shrunk = functional.interpolate(unit, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    return functional.interpolate(shrunk, size=unit.shape[-2:], mode="bilinear", align_corners=False)


def invert(unit: Tensor, _level: float, _draws: Draws) -> Tensor:
    """Return the negative."""
    return 1 - unit


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(
        title="noise",
        change=add_noise,
        levels=(0.01, 0.02, 0.05),
        texts=("σ 1 % of white", "σ 2 %", "σ 5 %"),
    ),
    "blur": Corruption(
        title="blur",
        change=blur,
        levels=(0.003, 0.006, 0.012),
        texts=("σ 0.3 % of the side", "σ 0.6 %", "σ 1.2 %"),
    ),
    "contrast": Corruption(
        title="contrast",
        change=change_contrast,
        levels=(0.8, 0.6, 0.4),
        texts=("× 0.8 or ÷ 0.8", "× 0.6 or ÷ 0.6", "× 0.4 or ÷ 0.4"),
    ),
    "brightness": Corruption(
        title="brightness",
        change=change_brightness,
        levels=(1.2, 1.5, 2.0),
        texts=("γ 1.2 or 1/1.2", "γ 1.5 or 1/1.5", "γ 2 or 1/2"),
    ),
    "rotation": Corruption(title="rotation", change=rotate, levels=(5, 10, 20), texts=("5° either way", "10°", "20°")),
    "crop": Corruption(
        title="crop",
        change=crop,
        levels=(0.95, 0.9, 0.8),
        texts=("95 % of the side, anywhere", "90 %", "80 %"),
    ),
    "jpeg": Corruption(
        title="JPEG", change=compress, levels=(75, 40, 15), texts=("quality 75", "quality 40", "quality 15")
    ),
    "resolution": Corruption(
        title="resolution",
        change=lower_resolution,
        levels=(0.5, 0.33, 0.25),
        texts=("half the side", "a third", "a quarter"),
    ),
    "inversion": Corruption(title="inversion", change=invert, levels=(1,), texts=("black for white",), gated=False),
}
"""Every corruption there is. Inversion is not gated: the decoder undoes it where the header says it (MONOCHROME1), and
an image that is inverted without saying so has to be referred, not read."""


def corrupt(images: Images, name: str, level: int, *, seed: int = 0) -> Images:
    """Return changed copies of packed images.

    Args:
        images: (N, S, S) uint8, or (N, S, S, 3) in colour.
        name: A key of `CORRUPTIONS`.
        level: The place of the severity, 0 for the mildest.
        seed: Of what is random; with another severity, or a longer row of images, each image's direction is the same.
    """
    chosen = CORRUPTIONS[name]
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(name)])
    drawn = torch.from_numpy(rng.uniform(-1, 1, size=(len(images), 3)).astype(np.float32))
    parts = []
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        sign = torch.where(drawn[rows, 0] < 0, -1.0, 1.0)
        draws = Draws(sign=sign, place=drawn[rows, 1:], rng=rng)
        parts.append(_packed(chosen.change(_unit(images[rows]), chosen.levels[level], draws)))
    return np.concatenate(parts) if parts else np.empty_like(images)


def _unit(images: Images) -> Tensor:
    unit = torch.from_numpy(np.array(images)).to(torch.float32).div_(255)
    return unit.unsqueeze(1) if unit.ndim == 3 else unit.permute(0, 3, 1, 2)


def _packed(unit: Tensor) -> Images:
    packed = unit.clamp(0, 1).mul(255).round().to(torch.uint8)
    laid = packed.squeeze(1) if packed.shape[1] == 1 else packed.permute(0, 2, 3, 1)
    return laid.contiguous().numpy()


def _of_each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _warped(unit: Tensor, rows: tuple[tuple[Tensor, ...], ...]) -> Tensor:
    """Look up each pixel where the affine map (2 rows of 3, from -1 to 1 over the image) says, bilinear."""
    affine = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = functional.affine_grid(affine, list(unit.shape), align_corners=False)
    return functional.grid_sample(unit, grid, mode="bilinear", padding_mode="border", align_corners=False)
