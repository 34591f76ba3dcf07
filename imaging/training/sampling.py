"""Which image comes when: an epoch's order, and its batches."""

import torch
from torch import Tensor

from imaging.config import TrainConfig


def epoch_order(labels: Tensor, *, classes: int, config: TrainConfig, generator: torch.Generator | None) -> Tensor:
    """Draw the images of an epoch, all devices together.

    Args:
        labels: (N,) int64 on the CPU.
        classes: How many there are; one without an image is left out.
        config: With `weighted_sampling` images are drawn with replacement, every class as often on average.
        generator: Of random numbers, on the CPU; torch's own where absent.

    Returns:
        (N,) int64: each image once, or as drawn.
    """
    count = len(labels)
    if not config.weighted_sampling:
        return torch.randperm(count, generator=generator)
    counts = torch.bincount(labels, minlength=classes)
    present = counts.nonzero().squeeze(1)
    if not len(present):
        return present
    drawn = present[torch.randint(len(present), (count,), generator=generator)]
    sizes, starts = counts[drawn], (counts.cumsum(0) - counts)[drawn]
    place = (torch.rand(count, generator=generator, dtype=torch.float64) * sizes).long()
    return labels.argsort(stable=True)[starts + place]


def global_batches(order: Tensor, batch_size: int, *, drop_last: bool) -> tuple[Tensor, ...]:
    """Cut an epoch's order into the batches of all devices together.

    Args:
        order: (N,) int64.
        batch_size: The largest batch.
        drop_last: All batches have that very size, for steps that are compiled for one, and what is left over waits
            for another epoch; an order shorter than one batch stays whole. Otherwise sizes differ by at most one:
            no step learns from a few leftover images.
    """
    if not len(order):
        return ()
    if drop_last and len(order) >= batch_size:
        return order[: len(order) // batch_size * batch_size].split(batch_size)
    return order.tensor_split(-(-len(order) // batch_size))
