"""Small random changes to a whole batch at once, on the batch's device."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from imaging.config import AugmentConfig


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator | None) -> Tensor:
    """Rotate, scale, shift, and change brightness and contrast, each image by its own amounts.

    Args:
        images: (N, S, S) float32 in [0, 1].
        config: The largest amounts; `shift` is a share of the side.
        generator: Of random numbers, on the CPU, so that a device does not change them;
            torch's own where absent.

    Returns:
        (N, S, S) float32 in [0, 1]; what comes in from outside the picture is black.
    """
    changed = _affine(images, config, generator)
    count = len(images)
    contrast = 1.0 + _between(count, -config.contrast, config.contrast, generator)
    brightness = _between(count, -config.brightness, config.brightness, generator)
    if not config.contrast and not config.brightness:
        return changed
    contrast, brightness = (amount.to(images.device).view(-1, 1, 1) for amount in (contrast, brightness))
    mean = changed.mean((1, 2), keepdim=True)
    return ((changed - mean) * contrast + mean + brightness).clamp_(0.0, 1.0)


def _affine(images: Tensor, config: AugmentConfig, generator: torch.Generator | None) -> Tensor:
    """Sample each image through its own rotation, scale and shift."""
    count = len(images)
    limit = math.radians(config.rotation_degrees)
    angle = _between(count, -limit, limit, generator)
    scale = _between(count, *config.scale, generator)
    shift = _between(2 * count, -2 * config.shift, 2 * config.shift, generator).view(count, 2)
    if not limit and not config.shift and config.scale == (1.0, 1.0):
        return images
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = (torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1))
    matrices = torch.stack(rows, 1).to(images.device)
    grid = functional.affine_grid(matrices, [count, 1, *images.shape[1:]], align_corners=False)
    sampled = functional.grid_sample(images.unsqueeze(1), grid, mode="bilinear", align_corners=False)
    return sampled.squeeze(1)


def _between(count: int, low: float, high: float, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
