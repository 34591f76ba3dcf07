"""The only way from a packed image to what a network reads: tone, side, normalisation. Training and serving share it.

Every step works on whole batches on their device, gives the same bits every time, and treats each image by itself.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from imaging.config import InputConfig
from imaging.errors import ConfigurationError

LEVELS = 256
PERCENTILES = (1, 99)
"""Of an image's values: what `percentile` makes black and white."""


def to_input(images: Tensor, config: InputConfig) -> Tensor:
    """Prepare packed images for a network.

    Args:
        images: (N, S, S) uint8, or (N, S, S, 3) in colour.
        config: Side, channels, tone and normalisation.

    Returns:
        (N, channels, size, size) float32, normalised, in channels-last memory.

    Raises:
        ConfigurationError: when the images cannot be brought to what `config` says.
    """
    return normalise(to_unit(images, config), config)


def to_unit(images: Tensor, config: InputConfig) -> Tensor:
    """Return packed images with their tone and side changed, in [0, 1].

    Args:
        images: (N, S, S) uint8, or (N, S, S, 3) in colour.
        config: The tone is changed at side S, before a border or a resizing makes new values.

    Returns:
        (N, c, size, size) float32 with the packed images' c channels, in channels-last memory where c is 3.

    Raises:
        ConfigurationError: when the images would have to shrink and `config.fit` only pads.
    """
    unit = toned(images, config.tone)
    unit = unit.unsqueeze(1) if images.ndim == 3 else unit.permute(0, 3, 1, 2)
    side = unit.shape[-1]
    if side == unit.shape[-2] == config.size:
        return unit
    if config.fit == "pad":
        return _padded(unit, config.size)
    return functional.interpolate(
        unit, size=(config.size, config.size), mode="bilinear", antialias=True, align_corners=False
    )


def normalise(unit: Tensor, config: InputConfig) -> Tensor:
    """Return values (N, c, S, S) in [0, 1] as a normalised input (N, channels, S, S), channels-last.

    Grey images are repeated for a network of three channels.

    Raises:
        ConfigurationError: when mean and std do not have one number for each channel, or colour would be lost.
    """
    if not len(config.mean) == len(config.std) == config.channels:
        raise ConfigurationError(
            f"an input of {config.channels} channels needs as many means and stds, "
            f"got {len(config.mean)} and {len(config.std)}"
        )
    if unit.shape[1] > config.channels:
        raise ConfigurationError(
            "the recipe reads grey images and the dataset has colour ones; "
            "set input.channels to 3 with three means and stds, or ingest the images as grey"
        )
    offset, factor = _offset_and_factor(config.mean, config.std, unit.device)
    # written channel by channel next to each other: the permuted view is channels-last without a copy
    return torch.addcmul(offset, unit.permute(0, 2, 3, 1), factor).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def _offset_and_factor(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return -mean / std and 1 / std; kept, because a GPU is waited for whenever numbers are brought to it."""
    with torch.inference_mode(False):
        means, stds = (torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std))
        return -means / stds, 1.0 / stds


def toned(images: Tensor, tone: str) -> Tensor:
    """Return uint8 images (N, S, S) or (N, S, S, 3) as float32 in [0, 1] of the same shape, with their tone changed.

    `percentile` stretches each image so that its 1st percentile is black and its 99th white, all colours alike, and
    leaves an image alone where the two are one. `equalise` flattens the histogram of each image and colour, as
    torchvision's and Pillow's `equalize` do.
    """
    if tone == "linear":
        return images.to(torch.float32).div_(255.0)
    by_colour = images.ndim == 4 and tone == "equalise"
    planes = images.movedim(-1, 1) if by_colour else images
    rows = (planes.flatten(0, 1) if by_colour else planes).flatten(1)
    histograms = _histograms(rows)
    table = _percentile_table(histograms, rows.shape[1]) if tone == "percentile" else _equalising_table(histograms)
    changed = table.gather(1, rows.long()).view(planes.shape)
    return changed.movedim(1, -1).contiguous() if by_colour else changed


def _histograms(rows: Tensor) -> Tensor:
    """Count the values of each row (R, P) uint8: (R, 256) int64."""
    offsets = torch.arange(len(rows), device=rows.device).unsqueeze(1) * LEVELS
    return torch.bincount((rows + offsets).flatten(), minlength=len(rows) * LEVELS).view(-1, LEVELS)


def _percentile_table(histograms: Tensor, count: int) -> Tensor:
    """Return for each row of `count` values what every level becomes: (R, 256) float32.

    A percentile lies between two values by its rank, as `numpy.percentile` has it.
    """
    upto = histograms.cumsum(1)
    bounds = []
    for percent in PERCENTILES:
        # in whole numbers, so that no rounding depends on the machine
        rank, rest = divmod((count - 1) * percent, 100)
        lower, upper = ((upto <= place).sum(1) for place in (rank, rank + 1 if rest else rank))
        bounds.append((lower * (100 - rest) + upper * rest).float() / 100)
    low, high = (bound.unsqueeze(1) for bound in bounds)
    levels = torch.arange(LEVELS, dtype=torch.float32, device=histograms.device)
    stretched = ((levels - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    return torch.where(high > low, stretched, levels / 255)


def _equalising_table(histograms: Tensor) -> Tensor:
    """Return for each row what every level becomes: (R, 256) float32, in steps of 1/255."""
    levels = torch.arange(LEVELS, device=histograms.device)
    brightest = torch.where(histograms > 0, levels, 0).amax(1, keepdim=True)
    step = (histograms.sum(1, keepdim=True) - histograms.gather(1, brightest)) // 255
    darker = histograms.cumsum(1) - histograms
    flat = ((darker + step // 2) // step.clamp_min(1)).clamp_max(255)
    return torch.where(step > 0, flat, levels).float() / 255


def _padded(unit: Tensor, size: int) -> Tensor:
    """Put a black border of even width around images (N, c, S, S); the odd pixel goes right and below."""
    side = unit.shape[-1]
    if side > size:
        raise ConfigurationError(
            f"images of {side} px cannot be padded to {size} px; use the fit 'resize', an input of {side} px or more, "
            "or a dataset packed smaller"
        )
    before = (size - side) // 2
    after = size - side - before
    padded = functional.pad(unit, (before, after, before, after))
    return padded if unit.shape[1] == 1 else padded.contiguous(memory_format=torch.channels_last)
