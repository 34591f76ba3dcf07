"""Which layers a stage trains, and which stages a run has."""

import math
from collections.abc import Sequence

from torch import nn

from imaging.config import Stage, TrainConfig
from imaging.errors import ConfigurationError
from imaging.models.architectures import get_architecture
from imaging.models.layers import backbone_blocks, head_module
from imaging.models.weights import RANDOM

FROM_SCRATCH = "from-scratch"
PLATEAU_EPOCHS, PLATEAU_FACTOR = 2, 0.2
"""Epochs without anything better after which `plateau` lowers the rate, and to which share."""


def planned_stages(config: TrainConfig, initial_weights: str) -> tuple[Stage, ...]:
    """Return the recipe's stages; or, for a network that starts from random numbers, one stage of all layers.

    Features that nobody trained are not worth freezing. That stage takes the recipe's highest rate, and as
    many epochs as the recipe's stages below the head.
    """
    if initial_weights != RANDOM or all(stage.trainable == "all" for stage in config.stages):
        return config.stages
    deeper = [stage for stage in config.stages if stage.trainable != "head"] or list(config.stages)
    return (
        deeper[-1].model_copy(
            update={
                "name": FROM_SCRATCH,
                "trainable": "all",
                "epochs": sum(stage.epochs for stage in deeper),
                "lr": max(stage.lr for stage in config.stages),
                "backbone_lr": None,
                "schedule": "one_cycle",
            }
        ),
    )


def frozen_depth(model: nn.Module, architecture: str, stage: Stage) -> int:
    """Return how many of the first `backbone_blocks` the stage leaves as they are.

    Raises:
        ConfigurationError: when the stage trains more blocks than there are below the head.
    """
    blocks = len(backbone_blocks(model))
    if isinstance(stage.trainable, int):
        if stage.trainable > blocks:
            raise ConfigurationError(
                f"stage {stage.name!r} trains the last {stage.trainable} blocks and {architecture} has {blocks}; "
                "ask for fewer, or for all"
            )
        return blocks - stage.trainable
    last = get_architecture(architecture).last_blocks
    if stage.trainable == "last" and not last:
        raise ConfigurationError(
            f"stage {stage.name!r} trains the last blocks and those of {architecture} are not known; "
            "use head, all, or an architecture whose blocks are"
        )
    return {"head": blocks, "last": blocks - last, "all": 0}[stage.trainable]


def shared_depth(depths: list[int]) -> int:
    """Return the number of blocks that stay frozen in all the coming stages, up to one that trains everything."""
    until = depths.index(0) if 0 in depths else len(depths)
    return min(depths[:until], default=0)


def freeze(model: nn.Module, depth: int) -> None:
    """Let only the head and the blocks from `depth` on learn.

    Gradients of frozen layers are neither computed nor kept.
    """
    model.requires_grad_(depth == 0)  # auxiliary heads too
    for block in backbone_blocks(model)[depth:]:
        block.requires_grad_(True)
    head_module(model).requires_grad_(True)


def training_mode(model: nn.Module, depth: int) -> None:
    """Switch dropout on; batch norm learns new statistics only when nothing is frozen.

    In a partly frozen network all batch norms keep the statistics they came with: those of a few small
    batches are worse, and would change what the layers after them were trained on.
    """
    if depth == 0:
        model.train()
        return
    model.eval()
    head_module(model).train()


def check_batch_norm(model: nn.Module, images: int) -> None:
    """Refuse steps of one image where a batch norm learns from them.

    Raises:
        ConfigurationError: when the smallest step has a single image.
    """
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
    if images < 2 and any(isinstance(layer, norms) and layer.training for layer in model.modules()):
        raise ConfigurationError(
            f"batch norm learns from at least 2 images a step, got {images}; use a larger batch_size, or more images"
        )


def rate_factor(stage: Stage, progress: float, figures: Sequence[float] = ()) -> float:
    """Return the share of the learning rate at `progress` (0-1) of a stage.

    `cosine` falls to `final_factor`; `one_cycle` rises from 1/25 over the first 30 % and then falls to zero
    (Smith and Topin 2018, "Super-convergence", with cosine slopes); `plateau` is divided by 5 whenever 2 epochs
    brought nothing better. All but `one_cycle`, which has its own, begin with `warmup`.

    Args:
        stage: The stage.
        progress: How much of it is done.
        figures: What its epochs so far gave for the recipe's `monitor`, made so that less is better.
    """
    if stage.schedule != "one_cycle" and progress < stage.warmup:
        return progress / stage.warmup
    if stage.schedule == "constant":
        return 1.0
    if stage.schedule == "plateau":
        return max(stage.final_factor, PLATEAU_FACTOR ** _plateaus(figures))
    if stage.schedule == "cosine":
        rest = (progress - stage.warmup) / (1.0 - stage.warmup)
        return stage.final_factor + (1.0 - stage.final_factor) * _half_cosine(rest)
    rise = 0.3
    if progress < rise:
        return 1.0 - (1.0 - 1 / 25) * _half_cosine(progress / rise)
    return _half_cosine((progress - rise) / (1.0 - rise))


def _plateaus(figures: Sequence[float]) -> int:
    """Count how often `PLATEAU_EPOCHS` epochs in a row brought nothing better."""
    best, waited, count = math.inf, 0, 0
    for figure in figures:
        best, waited = (figure, 0) if figure < best else (best, waited + 1)
        if waited == PLATEAU_EPOCHS:
            waited, count = 0, count + 1
    return count


def _half_cosine(progress: float) -> float:
    """Return 1 at 0 and 0 at 1, flat at both ends."""
    return 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
