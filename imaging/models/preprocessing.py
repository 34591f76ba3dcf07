"""The only resizing and normalisation between a packed image and a network: training and serving share it."""

import torch
from torch import Tensor
from torch.nn import functional

from imaging.config import InputConfig
from imaging.errors import ConfigurationError


def to_input(images: Tensor, config: InputConfig) -> Tensor:
    """Prepare packed images for a network.

    Args:
        images: (N, S, S) uint8.
        config: Side, channels and normalisation.

    Returns:
        (N, channels, size, size) float32, normalised, in channels-last memory.

    Raises:
        ConfigurationError: when mean and std do not have one number for each channel.
    """
    return normalise(to_unit(images, config.size), config)


def to_unit(images: Tensor, size: int) -> Tensor:
    """Return `images` (N, S, S) uint8 as (N, size, size) float32 in [0, 1], by antialiased bilinear if S != size."""
    unit = images.to(torch.float32).div_(255.0)
    if images.shape[-1] == size and images.shape[-2] == size:
        return unit
    return functional.interpolate(
        unit.unsqueeze(1), size=(size, size), mode="bilinear", antialias=True, align_corners=False
    ).squeeze(1)


def normalise(unit: Tensor, config: InputConfig) -> Tensor:
    """Return grey values (N, S, S) in [0, 1] as a normalised input (N, channels, S, S), channels-last."""
    if not len(config.mean) == len(config.std) == config.channels:
        raise ConfigurationError(
            f"an input of {config.channels} channels needs as many means and stds, "
            f"got {len(config.mean)} and {len(config.std)}"
        )
    std = torch.tensor(config.std, dtype=torch.float32, device=unit.device)
    mean = torch.tensor(config.mean, dtype=torch.float32, device=unit.device)
    # written channel by channel next to each other: the permuted view is channels-last without a copy
    return torch.addcmul(-mean / std, unit.unsqueeze(-1), 1.0 / std).permute(0, 3, 1, 2)
