"""What the frozen blocks give for each image: computed once and kept, since it cannot change.

For a recipe whose first stages do not augment, this is most of the work of training.
"""

import torch
from torch import Tensor, nn

from imaging.config import AugmentConfig, InputConfig
from imaging.models.layers import backbone_blocks, pooled
from imaging.models.preprocessing import normalise, to_unit
from imaging.training.augment import augment

KEPT_BYTES = 2 * 2**30
"""Features are kept up to this many bytes for each of the training and validation images."""
CHUNK = 64


class FrozenFeatures:
    """The images of one part of a split, seen through the network's first blocks.

    Args:
        model: One of `MODELS`.
        images: (N, S, S) uint8, on the device.
        config: How images become inputs.
        limit_bytes: The most to keep; above it, blocks run again for every batch.
    """

    def __init__(self, model: nn.Module, images: Tensor, config: InputConfig, *, limit_bytes: int = KEPT_BYTES) -> None:
        self._blocks = backbone_blocks(model)
        self._images = images
        self._config = config
        self._limit_bytes = limit_bytes
        self._kept: Tensor | None = None
        self._kept_depth = 0
        self._stage: Tensor | None = None
        self._depth = 0

    def keep(self, depth: int) -> None:
        """Compute and keep the output of the first `depth` blocks for the stages to come."""
        if depth and self._kept is None and self._fits(depth):
            self._kept = self._compute(depth)
            self._kept_depth = depth

    def forget(self) -> None:
        """Drop everything kept, because the first blocks are going to change."""
        self._kept, self._kept_depth, self._stage = None, 0, None

    def start_stage(self, depth: int, *, fixed: bool) -> None:
        """Set the depth at which `batch` gives features; `fixed` says they are not augmented."""
        self._depth = depth
        self._stage = None
        if fixed and depth:
            if self._kept_depth == depth:
                self._stage = self._kept
            elif self._fits(depth):
                self._stage = self._compute(depth)

    def batch(
        self, chosen: Tensor, *, changes: AugmentConfig | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the features of the images at `chosen`: (n, F, h, w), or (n, F) pooled at full depth.

        With `changes`, of images augmented by numbers from `generator`.
        """
        if self._stage is not None and changes is None:
            return _channels_last(self._stage[chosen])
        unit = to_unit(self._images[chosen], self._config.size)
        if changes is not None:
            unit = augment(unit, changes, generator)
        return self._run(normalise(unit, self._config), 0, self._depth)

    @torch.no_grad()
    def _run(self, values: Tensor, start: int, depth: int) -> Tensor:
        for block in self._blocks[start:depth]:
            values = block(values)
        return pooled(values) if depth == len(self._blocks) else values

    def _compute(self, depth: int) -> Tensor:
        """Run all images up to `depth`, from what is kept where that is on the way."""
        for block in self._blocks[:depth]:
            block.eval()
        parts = []
        for first in range(0, len(self._images), CHUNK):
            chosen = slice(first, first + CHUNK)
            if self._kept is not None and self._kept_depth <= depth:
                parts.append(self._run(self._kept[chosen], self._kept_depth, depth))
            else:
                inputs = normalise(to_unit(self._images[chosen], self._config.size), self._config)
                parts.append(self._run(inputs, 0, depth))
        return torch.cat(parts)

    def _fits(self, depth: int) -> bool:
        """Say whether the features of all images may be kept, from those of a blank one."""
        for block in self._blocks[:depth]:
            block.eval()
        one = self._run(normalise(to_unit(self._images[:1], self._config.size), self._config), 0, depth)
        return one.numel() * one.element_size() * len(self._images) <= self._limit_bytes


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values
