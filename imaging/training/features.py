"""What the frozen blocks give for each image: computed once and kept, since it cannot change.

A stage that augments keeps several augmented views of every image: one forward pass a view instead of one an
epoch. For a recipe that trains only a head, that is most of the work of training.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from imaging.config import AugmentConfig, InputConfig
from imaging.models.layers import backbone_blocks, pool
from imaging.models.preprocessing import normalise, to_unit
from imaging.training.augment import augment
from imaging.training.batches import Images, Plan

KEPT_BYTES = 2 * 2**30
"""Features are kept up to this many bytes for each of the training and validation images."""
CHUNK = 64
"""Images in one pass of the frozen blocks."""


class FrozenFeatures:
    """The images of one part of a split, seen through the network's first blocks.

    Args:
        model: Of any architecture.
        images: On the device, or read ahead to it.
        config: How images become inputs.
        device: Where the network is.
        limit_bytes: The most to keep; above it, blocks run again for every batch.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        config: InputConfig,
        *,
        device: torch.device,
        limit_bytes: int = KEPT_BYTES,
    ) -> None:
        self._model = model
        self._blocks = backbone_blocks(model)
        self._images = images
        self._config = config
        self._device = device
        self._limit_bytes = limit_bytes
        self._kept: Tensor | None = None
        self._kept_depth = 0
        self._stage: Tensor | None = None
        self._depth = 0

    @property
    def waited_s(self) -> float:
        """Seconds that the loop has waited for images."""
        return self._images.waited_s

    def keep(self, depth: int) -> None:
        """Compute and keep the output of the first `depth` blocks for the stages to come."""
        if depth and self._kept is None and self._fits(depth):
            self._kept = self._compute(depth)
            self._kept_depth = depth

    def forget(self) -> None:
        """Drop everything kept, because the first blocks are going to change."""
        self._kept, self._kept_depth, self._stage = None, 0, None

    def start_stage(self, depth: int, *, changes: AugmentConfig | None = None, views: int = 0, seed: int = 0) -> None:
        """Set the depth at which `batches` gives features, and compute what can be kept.

        Args:
            depth: How many blocks are frozen.
            changes: The stage's augmentation, if it has one.
            views: How many augmented views to keep of every image; 0 keeps none.
            seed: Of the views.
        """
        self._depth = depth
        self._stage = None
        if not depth:
            return
        if changes is None and self._fits(depth):
            kept = self._kept if self._kept_depth == depth else None
            self._stage = (self._compute(depth) if kept is None else kept).unsqueeze(0)
        elif changes is not None and views and self._fits(depth, views):
            generator = torch.Generator().manual_seed(seed)
            self._stage = torch.stack([self._compute(depth, changes, generator) for _ in range(views)])

    def batches(
        self, plan: Plan, *, changes: AugmentConfig | None = None, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """Yield this process's share of each batch's features: (n, F, h, w), or (n, F) pooled at full depth.

        Args:
            plan: The batches.
            changes: With it, of images augmented by numbers from `generator`, or of one of the views kept.
            generator: Of random numbers, on the CPU.
        """
        if self._stage is not None:
            for chosen, total, share in zip(plan.on_device, plan.totals, plan.shares, strict=True):
                view = torch.randint(len(self._stage), (total,), generator=generator)[share].to(self._device)
                yield _channels_last(self._stage[view, chosen])
            return
        for images, total, share in zip(self._images.batches(plan), plan.totals, plan.shares, strict=True):
            unit = to_unit(images, self._config)
            if changes is not None:
                unit = augment(unit, changes, generator, total=total, share=share)
            yield self._run(normalise(unit, self._config), 0, self._depth)

    @torch.no_grad()
    def _run(self, values: Tensor, start: int, depth: int) -> Tensor:
        for block in self._blocks[start:depth]:
            values = block(values)
        return pool(self._model, values) if depth == len(self._blocks) else values

    def _compute(
        self, depth: int, changes: AugmentConfig | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Run all images up to `depth`; those that are not augmented, from what is kept on the way."""
        self._to_eval(depth)
        plan = Plan.in_order(len(self._images), CHUNK, self._device)
        if changes is None and self._kept is not None and self._kept_depth <= depth:
            return torch.cat([self._run(self._kept[places], self._kept_depth, depth) for places in plan.on_device])
        parts = []
        for images in self._images.batches(plan):
            unit = to_unit(images, self._config)
            if changes is not None:
                unit = augment(unit, changes, generator)
            parts.append(self._run(normalise(unit, self._config), 0, depth))
        return torch.cat(parts)

    def _fits(self, depth: int, views: int = 1) -> bool:
        """Say whether the features of all images may be kept, from those of the first."""
        self._to_eval(depth)
        (image,) = self._images.batches(Plan.in_order(1, 1, self._device))
        one = self._run(normalise(to_unit(image, self._config), self._config), 0, depth)
        return views * one.numel() * one.element_size() * len(self._images) <= self._limit_bytes

    def _to_eval(self, depth: int) -> None:
        for block in self._blocks[:depth]:
            block.eval()


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values
