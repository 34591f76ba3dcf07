"""The table of architectures, and the function that builds one of them."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imaging.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What is particular to one network.

    Attributes:
        head: Name of the classifier module, which is replaced by dropout and one linear layer.
        stem: Dotted name of the convolution that reads the image.
        last_blocks: How many of `layers.backbone_blocks` a stage trains with `trainable="last"`.
        minimum_size: Side in pixels that still leaves one feature, after dividing by the stride.
        own_module: `module:class` of a network of ours; torchvision's builder of that name where empty.
    """

    head: str
    stem: str
    last_blocks: int
    minimum_size: int = 32
    own_module: str = ""


MODELS: dict[str, Architecture] = {
    "mobilenet_v2": Architecture(head="classifier", stem="features.0.0", last_blocks=5),
    "resnet18": Architecture(head="fc", stem="conv1", last_blocks=2),
    "resnet34": Architecture(head="fc", stem="conv1", last_blocks=3),
    "resnet50": Architecture(head="fc", stem="conv1", last_blocks=3),
    "resnet101": Architecture(head="fc", stem="conv1", last_blocks=3),
    "densenet121": Architecture(head="classifier", stem="features.conv0", last_blocks=2),
    "efficientnet_b0": Architecture(head="classifier", stem="features.0.0", last_blocks=3),
    "small_cnn": Architecture(
        head="classifier", stem="features.0.0", last_blocks=2, own_module="imaging.models.small_cnn:SmallCnn"
    ),
}
"""By torchvision's name of the builder, or our own."""


def get_architecture(name: str) -> Architecture:
    """Look `name` up.

    Raises:
        NotFoundError: when there is none; the message lists what there is.
    """
    if name not in MODELS:
        raise NotFoundError(f"no architecture {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]


def check_input_size(name: str, size: int) -> None:
    """Refuse an input side that the architecture would shrink to nothing.

    Raises:
        ConfigurationError: when `size` pixels are too few.
    """
    least = get_architecture(name).minimum_size
    if size < least:
        raise ConfigurationError(f"{name} needs an input of at least {least} px, got {size}; use {least} or more")


def build_model(architecture: str, *, num_classes: int, channels: int = 3, dropout: float = 0.2) -> "nn.Module":
    """Build a network with random weights, from torch's global random state.

    Returns:
        A module from images (N, channels, S, S) float32, normalised, to logits (N, num_classes),
        in channels-last memory, which convolutions on a CPU run about twice as fast.

    Raises:
        NotFoundError: for an unknown architecture.
        ConfigurationError: for fewer than two classes, or channels other than 1 and 3.
    """
    known = get_architecture(architecture)
    if num_classes < 2:
        raise ConfigurationError(f"a classifier needs at least 2 classes, got {num_classes}")
    if channels not in (1, 3):
        raise ConfigurationError(f"channels can be 1 or 3, got {channels}")
    import torch
    from torch import nn

    model = _untrained(architecture, known)
    old_head = model.get_submodule(known.head)
    features = next(layer.in_features for layer in old_head.modules() if isinstance(layer, nn.Linear))
    setattr(model, known.head, nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes)))
    if channels == 1:
        _read_one_channel(model, known.stem)
    return model.to(memory_format=torch.channels_last)


def _untrained(architecture: str, known: Architecture) -> "nn.Module":
    if known.own_module:
        module, _, name = known.own_module.partition(":")
        return getattr(importlib.import_module(module), name)()
    import torchvision

    return torchvision.models.get_model(architecture, weights=None)


def _read_one_channel(model: "nn.Module", stem: str) -> None:
    """Replace the first convolution by the same one for grey images."""
    from torch import nn

    old = model.get_submodule(stem)
    if not isinstance(old, nn.Conv2d):
        raise ConfigurationError(f"{stem} is {type(old).__name__}, expected a convolution")
    new = nn.Conv2d(
        1,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    parent, _, name = stem.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
