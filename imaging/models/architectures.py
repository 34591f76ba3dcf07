"""The table of architectures, and the function that builds one of them."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imaging.config import IMAGENET_MEAN, IMAGENET_STD
from imaging.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from torch import nn

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What is particular to one network.

    Attributes:
        last_blocks: How many of `layers.backbone_blocks` a stage trains with `trainable="last"`; 0 where the blocks are
            not known.
        size: Side in pixels of the published input.
        minimum_size: Side in pixels that still leaves one feature, after dividing by the stride.
        multiple_of: The side is a multiple of so many pixels.
        auxiliary_size: Least side with auxiliary heads; 0 where the network has none.
        own_module: `module:class` of a network of ours; torchvision's builder of that name where empty.
        sized: Whether the builder needs the side.
        weights: On what published weights were trained; empty where there are none.
        mean: Of the inputs that those weights expect.
        std: Of the inputs that those weights expect.
    """

    last_blocks: int
    size: int = 224
    minimum_size: int = 32
    multiple_of: int = 1
    auxiliary_size: int = 0
    own_module: str = ""
    sized: bool = False
    weights: str = "imagenet"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


def _stacked(function: str, size: int) -> Architecture:
    module = f"imaging.models.stacked_cnn:{function}"
    return Architecture(last_blocks=1, size=size, minimum_size=16, own_module=module, sized=True, weights="")


def _cifar_resnet(depth: int) -> Architecture:
    own = f"imaging.models.cifar_resnet:resnet{depth}_cifar"
    return Architecture(last_blocks=depth // 6, size=32, minimum_size=8, own_module=own, weights="cifar10")


MODELS: dict[str, Architecture] = {
    "mobilenet_v2": Architecture(last_blocks=5, own_module="imaging.models.torchvision_pools:MobileNetV2"),
    "resnet18": Architecture(last_blocks=2),
    "resnet34": Architecture(last_blocks=3),
    "resnet50": Architecture(last_blocks=3),
    "resnet101": Architecture(last_blocks=3),
    "densenet121": Architecture(last_blocks=2, own_module="imaging.models.torchvision_pools:densenet121"),
    "efficientnet_b0": Architecture(last_blocks=3),
    "efficientnet_b1": Architecture(last_blocks=3, size=240),
    "efficientnet_b2": Architecture(last_blocks=3, size=288),
    "efficientnet_b3": Architecture(last_blocks=3, size=300),
    "alexnet": Architecture(last_blocks=1, minimum_size=63),
    "vgg16": Architecture(last_blocks=1),
    "googlenet": Architecture(last_blocks=2, auxiliary_size=32, mean=HALF, std=HALF),
    "inception_v3": Architecture(last_blocks=3, size=299, minimum_size=75, auxiliary_size=299, mean=HALF, std=HALF),
    "vit_b_16": Architecture(last_blocks=2, multiple_of=16, sized=True),
    "googlenet_cifar": Architecture(
        last_blocks=2,
        size=32,
        minimum_size=8,
        auxiliary_size=8,
        own_module="imaging.models.cifar_googlenet:CifarGoogLeNet",
        weights="",
    ),
    "resnet20_cifar": _cifar_resnet(20),
    "resnet56_cifar": _cifar_resnet(56),
    "lenet5": Architecture(
        last_blocks=1, size=32, minimum_size=16, own_module="imaging.models.lenet:LeNet5", sized=True, weights=""
    ),
    "cnn_mnist": _stacked("cnn_mnist", 28),
    "cnn_mnist_valid": _stacked("cnn_mnist_valid", 28),
    "cnn_cifar10": _stacked("cnn_cifar10", 32),
    "folder_cnn": _stacked("folder_cnn", 128),
    "small_cnn": Architecture(last_blocks=2, own_module="imaging.models.small_cnn:SmallCnn", weights=""),
}
"""By torchvision's name of the builder, or our own. Torchvision's other classifiers need no row."""


def get_architecture(name: str) -> Architecture:
    """Look `name` up, here and then among torchvision's classifiers.

    Raises:
        NotFoundError: when there is none; the message lists what there is.
    """
    if name in MODELS:
        return MODELS[name]
    others = torchvision_names()
    if name not in others:
        raise NotFoundError(
            f"no architecture {name!r}; there are: {', '.join(MODELS)}; and of torchvision: {', '.join(others)}"
        )
    tokens = {"vit_h_14": 14, "maxvit_t": 224}.get(name, int(name.rsplit("_", 1)[1]) if name.startswith("vit_") else 0)
    return Architecture(last_blocks=0, multiple_of=tokens or 1, sized=bool(tokens))


def torchvision_names() -> list[str]:
    """Return torchvision's classifiers that `MODELS` has no row for and that end in a linear layer."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    return [name for name in names if name not in MODELS and not name.startswith("squeezenet")]


def check_input_size(name: str, size: int) -> None:
    """Refuse an input side that the architecture would shrink to nothing, or cannot cut into patches.

    Raises:
        ConfigurationError: when `size` pixels are too few, or no multiple of the patch.
    """
    known = get_architecture(name)
    least = known.minimum_size
    if size < least:
        raise ConfigurationError(f"{name} needs an input of at least {least} px, got {size}; use {least} or more")
    if size % known.multiple_of:
        below = size // known.multiple_of * known.multiple_of
        possible = ", ".join(str(side) for side in (below, below + known.multiple_of) if side >= least)
        raise ConfigurationError(
            f"{name} needs an input of a multiple of {known.multiple_of} px, got {size}; the nearest are {possible}"
        )


def build_model(
    architecture: str,
    *,
    num_classes: int,
    channels: int = 3,
    size: int | None = None,
    dropout: float = 0.2,
    head: str = "plain",
    single_logit: bool = False,
    auxiliary: bool = False,
) -> "nn.Module":
    """Build a network with random weights, from torch's global random state.

    Args:
        architecture: A name of `MODELS`, or of another of torchvision's classifiers.
        num_classes: How many logits.
        channels: Of the input, 1 or 3.
        size: Side of the input in pixels; the published one where absent.
        dropout: Of the head, wherever its layout has dropout.
        head: A name of `heads.HEADS`.
        single_logit: Learn one number z for the second of two classes; the logits are [0, z].
        auxiliary: Keep auxiliary heads: in training mode the network then returns (logits, *auxiliary logits).

    Returns:
        A module from images (N, channels, size, size) float32, normalised, to logits (N, num_classes),
        in channels-last memory, which convolutions on a CPU run about twice as fast.

    Raises:
        NotFoundError: for an unknown architecture.
        ConfigurationError: for classes, channels, a size or a head that the architecture cannot have.
    """
    known = get_architecture(architecture)
    side = known.size if size is None else size
    check_input_size(architecture, side)
    if num_classes < 2:
        raise ConfigurationError(f"a classifier needs at least 2 classes, got {num_classes}")
    if single_logit and num_classes != 2:
        raise ConfigurationError(f"one logit tells 2 classes apart, got {num_classes}; use the loss 'cross_entropy'")
    if channels not in (1, 3):
        raise ConfigurationError(f"channels can be 1 or 3, got {channels}")
    if auxiliary:
        _check_auxiliary(architecture, known, side)
    import torch

    from imaging.models.heads import put_head, read_one_channel

    model = _untrained(architecture, known, side, auxiliary=auxiliary)
    put_head(model, architecture, head, num_classes=num_classes, dropout=dropout, single_logit=single_logit, size=side)
    if channels == 1:
        read_one_channel(model)
    return model.to(memory_format=torch.channels_last)


def _check_auxiliary(architecture: str, known: Architecture, side: int) -> None:
    if not known.auxiliary_size:
        having = ", ".join(name for name, row in MODELS.items() if row.auxiliary_size)
        raise ConfigurationError(
            f"{architecture} has no auxiliary heads; those that have: {having}; set auxiliary_weight to 0"
        )
    if side < known.auxiliary_size:
        raise ConfigurationError(
            f"the auxiliary heads of {architecture} need an input of at least {known.auxiliary_size} px, got {side}; "
            "use a larger one, or set auxiliary_weight to 0"
        )


def _untrained(architecture: str, known: Architecture, side: int, *, auxiliary: bool) -> "nn.Module":
    if known.own_module:
        module, _, name = known.own_module.partition(":")
        builder = getattr(importlib.import_module(module), name)
        if known.sized:
            return builder(size=side)
        return builder(auxiliary=auxiliary) if known.auxiliary_size else builder()
    import torchvision

    options: dict[str, object] = {}
    if known.auxiliary_size:  # torchvision's own starting values take seconds, and batch norm undoes them
        options = {"aux_logits": auxiliary, "init_weights": False, "transform_input": False}
    elif known.sized:
        options = {"input_size": (side, side)} if architecture == "maxvit_t" else {"image_size": side}
    return torchvision.models.get_model(architecture, weights=None, **options)
