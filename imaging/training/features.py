"""What the frozen blocks give for each image: computed once and kept, since it cannot change.

A stage that augments keeps several augmented views of every image: one forward pass a view instead of one an
epoch. For a recipe that trains only a head, that is most of the work of training.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

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
"""Images in one pass of the frozen blocks, up to 224 px."""
CHUNK_PIXELS = CHUNK * 224**2
"""Larger images go in smaller passes: on a CPU, values beyond the allocator's kept memory cost twice the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How a stage looks at its images.

    Attributes:
        changes: Its augmentation, if it has one.
        views: How many views of every image may be kept: 1 without augmentation, as many as the stage asks for with.
        seed: Of the kept views.
    """

    changes: AugmentConfig | None = None
    views: int = 1
    seed: int = 0


class FrozenFeatures:
    """The images of one part of a split, seen through the network's first blocks.

    Args:
        model: Of any architecture.
        images: On the device, or read ahead to it.
        config: How images become inputs.
        device: Where the network is.
        precision: The context in which the frozen blocks run.
        limit_bytes: The most to keep; above it, blocks run again for every batch.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        config: InputConfig,
        *,
        device: torch.device,
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
        limit_bytes: int = KEPT_BYTES,
    ) -> None:
        self._model = model
        self._blocks = backbone_blocks(model)
        self._images = images
        self._config = config
        self._device = device
        self._precision = precision
        self._limit_bytes = limit_bytes
        self._chunk = max(1, min(CHUNK, CHUNK_PIXELS // config.size**2))
        self._kept: Tensor | None = None
        self._kept_depth = 0
        self._kept_look: Look | None = None
        self._stage: Tensor | None = None
        self._depth = 0

    @property
    def waited_s(self) -> float:
        """Seconds that the loop has waited for images."""
        return self._images.waited_s

    def keep(self, depth: int, look: Look) -> None:
        """Compute and keep what comes out of the first `depth` blocks, for the stages to come that look so."""
        if depth and self._kept_look != look and look.views and self._fits(depth, look.views):
            self._kept, self._kept_depth, self._kept_look = self._compute(depth, look), depth, look

    def forget(self) -> None:
        """Drop everything kept, because the first blocks are going to change."""
        self._kept, self._kept_depth, self._kept_look, self._stage = None, 0, None, None

    def start_stage(self, depth: int, look: Look) -> None:
        """Set the depth at which `batches` gives features and how it looks at images; compute what can be kept."""
        self._depth = depth
        self._stage = None
        if not depth or not look.views:
            return
        if self._kept_look == look and self._kept_depth == depth:
            self._stage = self._kept
        elif self._fits(depth, look.views):
            self._stage = self._compute(depth, look)

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
                view = torch.randint(len(self._stage), (total,), generator=generator)[share]
                view = view.to(self._device, non_blocking=True)
                yield _channels_last(self._stage[view, chosen])
            return
        for images, total, share in zip(self._images.batches(plan), plan.totals, plan.shares, strict=True):
            unit = to_unit(images, self._config)
            if changes is not None:
                unit = augment(unit, changes, generator, total=total, share=share)
            yield self._run(normalise(unit, self._config), 0, self._depth)

    @torch.no_grad()
    def _run(self, values: Tensor, start: int, depth: int) -> Tensor:
        with self._precision():
            for block in self._blocks[start:depth]:
                values = block(values)
            return pool(self._model, values) if depth == len(self._blocks) else values

    def _compute(self, depth: int, look: Look) -> Tensor:
        """Run all views of all images up to `depth`, from what is kept on the way: (views, N, ...)."""
        self._to_eval(depth)
        if self._kept is not None and self._kept_look == look and self._kept_depth <= depth:
            start = self._kept_depth
            return torch.stack(
                [torch.cat([self._run(part, start, depth) for part in view.split(self._chunk)]) for view in self._kept]
            )
        generator = torch.Generator().manual_seed(look.seed)
        plan = Plan.in_order(len(self._images), self._chunk, self._device)
        views = []
        for _ in range(look.views):
            parts = []
            for images in self._images.batches(plan):
                unit = to_unit(images, self._config)
                if look.changes is not None:
                    unit = augment(unit, look.changes, generator)
                parts.append(self._run(normalise(unit, self._config), 0, depth))
            views.append(torch.cat(parts))
        return torch.stack(views)

    def _fits(self, depth: int, views: int) -> bool:
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
