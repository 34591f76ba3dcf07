"""Random changes to a whole batch at once, on the batch's device.

`augment` is `apply` of what `draw` drew. Every batch draws as many numbers whatever is on, an image a row, so that
switching one change on leaves the others as they were; and all are drawn on the CPU for the batch of all devices,
so that neither a device nor their number changes them. A change that is off costs nothing else.
"""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor
from torch.nn import functional

from imaging.config import AugmentConfig

_MATRIX = ("xx", "xy", "x0", "yx", "yy", "y0")
_REST = ("pad_x", "pad_y", "mirrored", "contrast", "brightness", "cutout_x", "cutout_y", "noise")
_PLACE = {name: place for place, name in enumerate((*_MATRIX, *_REST))}
_NOISE_SPARE = 1 << 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """By how much each image of a batch is to change; `amounts[a:b]` are those of a share of it."""

    numbers: Tensor
    """(N, 14) float32 on the CPU: where an output's pixel comes from (2x3, both sides from -1 to 1, without the
    padded crop), that crop's place in pixels from the middle, 1 where mirrored, the factor of contrast, what is
    added, the middle of the cutout (0-1), and the place in the noise (0-1)."""
    noise_seed: int

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, share: slice) -> "Amounts":
        return Amounts(numbers=self.numbers[share], noise_seed=self.noise_seed)


def augment(
    unit: Tensor,
    config: AugmentConfig,
    generator: torch.Generator | None,
    *,
    share: slice | None = None,
    total: int | None = None,
) -> Tensor:
    """Change each image by its own random amounts, within `config`.

    Args:
        unit: (N, c, S, S) float32 in [0, 1], in any memory format; it stays as it is.
        config: The largest amounts.
        generator: Of random numbers, on the CPU; torch's own where absent.
        share: Which images of a larger batch these are, where other devices have the others.
        total: The size of that larger batch.

    Returns:
        (N, c, S, S) float32 in [0, 1], in any memory format; `unit` itself where nothing is on. What comes in from
        outside the picture is black.
    """
    amounts = draw(len(unit) if total is None else total, config, generator)
    return apply(unit, amounts if share is None else amounts[share], config)


def draw(count: int, config: AugmentConfig, generator: torch.Generator | None) -> Amounts:
    """Draw the amounts for `count` images: always as many numbers, in the same order."""
    bounds = _bounds(config)
    low, high = torch.tensor(list(bounds.values()), dtype=torch.float32).T
    uniform = torch.rand(count, len(bounds), generator=generator)
    noise_seed = int(torch.randint(2**62, (), generator=generator))
    drawn = dict(zip(bounds, (low + (high - low) * uniform).unbind(1), strict=True))
    padding = float(config.crop_padding)
    columns = {name: drawn[name] for name in _REST if name in drawn}
    columns |= {name: drawn[name].floor().clamp(-padding, padding) for name in ("pad_x", "pad_y")}
    columns["mirrored"] = (drawn["mirrored"] >= 1.0).float()
    matrices = _whole_matrices(drawn, columns["mirrored"]) if _bends(config) else torch.eye(2, 3).expand(count, -1, -1)
    numbers = torch.cat([matrices.reshape(count, 6), torch.stack([columns[name] for name in _REST], 1)], 1)
    return Amounts(numbers=numbers, noise_seed=noise_seed)


@torch.no_grad()
def apply(unit: Tensor, amounts: Amounts, config: AugmentConfig) -> Tensor:
    """Change images (N, c, S, S) by the amounts that were drawn for them under the same `config`.

    Each image's result depends on its own amounts only, not on its neighbours.
    """
    if config == AugmentConfig() or not len(unit):
        return unit
    numbers = amounts.numbers
    if unit.device.type == "cuda":
        numbers = numbers.pin_memory().to(unit.device, non_blocking=True)
    by_name = {name: numbers[:, place] for name, place in _PLACE.items()}
    changed = _sampled(unit, numbers, by_name) if _bends(config) else _cropped_and_mirrored(unit, by_name, config)
    if config.contrast or config.brightness:
        changed = _toned(changed, by_name, out=None if changed is unit else changed)
    if config.noise:
        noise = _noise(changed, by_name["noise"], amounts.noise_seed, config.noise)
        changed = noise.add_(changed)
    if config.contrast or config.brightness or config.noise:
        changed.clamp_(0.0, 1.0)
    if config.cutout:
        changed = torch.mul(changed, _kept(changed, by_name, config.cutout), out=None if changed is unit else changed)
    return changed


def affine_matrices(angle: Tensor, *, scale: Tensor, shear: Tensor, shift_x: Tensor, shift_y: Tensor) -> Tensor:
    """Return where each pixel of the result comes from: (N, 2, 3), both sides of the image running from -1 to 1.

    The image is sheared along its rows by `shear` (radians), made larger by `scale`, turned clockwise by `angle`
    (radians), each about its middle, and then shifted by shares of its side: torchvision's `affine`.
    """
    cosine, sine, slope = torch.cos(angle) / scale, torch.sin(angle) / scale, torch.tan(shear)
    xx, xy, yx, yy = cosine - slope * sine, sine + slope * cosine, -sine, cosine
    x, y = -2.0 * shift_x, -2.0 * shift_y
    return torch.stack([xx, xy, xx * x + xy * y, yx, yy, yx * x + yy * y], 1).view(-1, 2, 3)


def _bounds(config: AugmentConfig) -> dict[str, tuple[float, float]]:
    """Return the range of every number, in the order in which they are drawn."""
    turn, shear = config.rotation_degrees * pi / 180, config.shear_degrees * pi / 180
    padding = config.crop_padding
    return {
        "angle": (-turn, turn),
        "scale": config.scale,
        "shear": (-shear, shear),
        "shift_x": (-config.shift, config.shift),
        "shift_y": (-config.shift, config.shift),
        "crop_area": config.crop_area,
        "crop_x": (-1.0, 1.0),
        "crop_y": (-1.0, 1.0),
        "pad_x": (-padding, padding + 1.0),
        "pad_y": (-padding, padding + 1.0),
        "mirrored": (0.0, 2.0 * config.flip),
        "contrast": (1.0 - config.contrast, 1.0 + config.contrast),
        "brightness": (-config.brightness, config.brightness),
        "cutout_x": (0.0, 1.0),
        "cutout_y": (0.0, 1.0),
        "noise": (0.0, 1.0),
    }


def _bends(config: AugmentConfig) -> bool:
    """Say whether pixels come from between pixels."""
    whole = (1.0, 1.0)
    turned = config.rotation_degrees or config.shear_degrees or config.shift
    return bool(turned) or config.scale != whole or config.crop_area != whole


def _whole_matrices(drawn: dict[str, Tensor], mirrored: Tensor) -> Tensor:
    """Compose, from the picture outwards: resized crop, affine, mirror; the picture around the crop stays."""
    matrices = affine_matrices(
        drawn["angle"],
        scale=drawn["scale"],
        shear=drawn["shear"],
        shift_x=drawn["shift_x"],
        shift_y=drawn["shift_y"],
    )
    side = drawn["crop_area"].sqrt()
    matrices = matrices * side.view(-1, 1, 1)
    matrices[:, 0, 2] += drawn["crop_x"] * (1.0 - side)
    matrices[:, 1, 2] += drawn["crop_y"] * (1.0 - side)
    matrices[:, :, 0] *= (1.0 - 2.0 * mirrored).unsqueeze(1)
    return matrices


def _sampled(unit: Tensor, numbers: Tensor, by_name: dict[str, Tensor]) -> Tensor:
    """Read every image through its matrix and its padded crop, between pixels, black outside.

    Both coordinates of a place are one complex number: its one sum a pixel is twice as fast as two.
    """
    side = unit.shape[-1]
    place = (2.0 * torch.arange(side, device=unit.device) + (1.0 - side)) / side
    xx, xy, x0, yx, yy, y0 = numbers[:, :6].unsqueeze(2).unbind(1)
    x0, y0 = (start + (2.0 / side) * by_name[name].unsqueeze(1) for start, name in ((x0, "pad_x"), (y0, "pad_y")))
    across = torch.complex(xx * place + x0, yx * place + y0)
    down = torch.complex(xy * place, yy * place)
    grid = torch.view_as_real(across.unsqueeze(1) + down.unsqueeze(2))
    return functional.grid_sample(unit, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _cropped_and_mirrored(unit: Tensor, by_name: dict[str, Tensor], config: AugmentConfig) -> Tensor:
    """Move by whole pixels and mirror: no pixel gets a new value."""
    changed = unit
    if config.crop_padding:
        changed = _crops(unit, by_name["pad_x"].long(), by_name["pad_y"].long(), config.crop_padding)
    if config.flip:
        column = torch.arange(unit.shape[-1], device=unit.device)
        columns = torch.where(by_name["mirrored"].bool().unsqueeze(1), column.flip(0), column)
        changed = changed.gather(3, columns.view(len(unit), 1, 1, -1).expand_as(changed))
    return changed


def _crops(unit: Tensor, right: Tensor, down: Tensor, padding: int) -> Tensor:
    """Cut a window of the old size out of each padded image.

    Rows are copied whole, as runs of one flat array: several times faster than an index for each pixel.
    """
    count, channels, side, _ = unit.shape
    padded = functional.pad(unit, (padding,) * 4)
    together = channels > 1 and unit.is_contiguous(memory_format=torch.channels_last)
    planes, unit_run = (1, channels) if together else (channels, 1)
    flat = (padded.permute(0, 2, 3, 1) if together else padded).reshape(-1)
    wide = side + 2 * padding
    plane = torch.arange(count * planes, device=unit.device).view(count, planes, 1) * wide
    row = plane + torch.arange(side, device=unit.device) + (down + padding).view(-1, 1, 1)
    starts = (row * wide + (right + padding).view(-1, 1, 1)) * unit_run
    runs = flat.unfold(0, side * unit_run, 1).index_select(0, starts.view(-1))
    if together:
        return runs.view(count, side, side, channels).permute(0, 3, 1, 2)
    return runs.view(count, channels, side, side)


def _toned(unit: Tensor, by_name: dict[str, Tensor], *, out: Tensor | None) -> Tensor:
    """Stretch grey values about each image's mean, and make it brighter or darker."""
    contrast, brightness = (by_name[name].view(-1, 1, 1, 1) for name in ("contrast", "brightness"))
    mean = unit.mean((1, 2, 3), keepdim=True)
    return torch.addcmul(mean * (1.0 - contrast) + brightness, unit, contrast, out=out)


def _noise(like: Tensor, place: Tensor, seed: int, deviation: float) -> Tensor:
    """Return normal noise of the shape of `like`.

    Each image reads, from its own place, one field that is longer than an image and drawn anew for every batch:
    cheaper than a number for each pixel, and the same however the batch is shared out.
    """
    pixels = like.shape[1:].numel()
    spare = max(pixels, _NOISE_SPARE)
    generator = torch.Generator(like.device).manual_seed(seed)
    field = torch.randn(spare + pixels, device=like.device, generator=generator) * deviation
    return field.unfold(0, pixels, 1).index_select(0, (place * spare).long()).view(like.shape)


def _kept(like: Tensor, by_name: dict[str, Tensor], share: float) -> Tensor:
    """Return (N, 1, S, S): 0 in a square whose middle lies anywhere in the image, and 1 elsewhere.

    DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """
    side = like.shape[-1]
    length = max(round(share * side), 1)
    place = torch.arange(side, device=like.device)
    inside = []
    for name in ("cutout_y", "cutout_x"):
        start = (by_name[name] * side).long().unsqueeze(1) - length // 2
        inside.append(((place >= start) & (place < start + length)).float())
    rows, columns = inside
    return (1.0 - rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)
