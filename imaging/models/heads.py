"""What sits on a backbone: the published classifier for other classes, or one of two small ones of ours."""

import torch
from torch import Tensor, nn

from imaging.errors import ConfigurationError
from imaging.models.layers import GlobalAverage, Layout, layout_of
from imaging.models.whole import NewHead, last_linear

HEADS = ("plain", "pooled_256", "flatten_256")
"""The published classifier with its last layer replaced; pooling, batch norm, dropout, 256 units, batch norm and
dropout; all features, 256 units and dropout."""
UNITS = 256
SECOND_DROPOUT = 0.8
"""Of the first dropout: .5 before the 256 units goes with .4 behind them."""


class TwoLogits(nn.Module):
    """One number z (N, 1) as the logits [0, z] of two classes, whose softmax is the sigmoid of z."""

    def forward(self, single: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        return torch.cat([torch.zeros_like(single), single], dim=1)


def put_head(
    model: nn.Module,
    architecture: str,
    head: str,
    *,
    num_classes: int,
    dropout: float,
    single_logit: bool,
    size: int,
) -> None:
    """Replace the classifier of an untrained network, and that of its auxiliary heads.

    Raises:
        ConfigurationError: when the network cannot have this head.
    """
    if head not in HEADS:
        raise ConfigurationError(f"no head {head!r}; there are: {', '.join(HEADS)}")
    layout = layout_of(model)
    outputs = 1 if single_logit else num_classes
    if head == "plain":
        layers = _published(model, layout, outputs, dropout)
    else:
        layers = _small(model, architecture, layout, head, outputs, dropout, size)
    if single_logit:
        layers.append(TwoLogits())
    if isinstance(getattr(model, "dropout", None), nn.Dropout):
        model.dropout = nn.Identity()  # the new head has its own
    for name in ("aux1.fc2", "aux2.fc2", "AuxLogits.fc"):
        if _holds(model, name):
            old = model.get_submodule(name)
            new = nn.Linear(int(old.in_features), outputs)  # type: ignore[arg-type]
            model.set_submodule(name, nn.Sequential(new, TwoLogits()) if single_logit else new)


def read_one_channel(model: nn.Module) -> None:
    """Replace the first convolution by the same one for grey images."""
    name = stem_name(model)
    old = model.get_submodule(name)
    if not isinstance(old, nn.Conv2d):
        raise ConfigurationError(f"{name} is {type(old).__name__}, expected a convolution")
    new = nn.Conv2d(
        1,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    model.set_submodule(name, new)


def stem_name(model: nn.Module) -> str:
    """Return the dotted name of the convolution that reads the image."""
    return next(name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d))


def fresh_names(model: nn.Module) -> tuple[str, ...]:
    """Return the beginnings of the names of the weights that are new, whatever file the others come from."""
    head = layout_of(model).head
    module = model.get_submodule(head)
    if isinstance(module, NewHead):
        return (f"{head}.",)
    inner = last_linear(module)
    return (f"{head}.{inner}." if inner else f"{head}.",)


def _published(model: nn.Module, layout: Layout, outputs: int, dropout: float) -> nn.Sequential:
    """Keep the classifier's layers below its last one; a classifier of one layer becomes dropout and that layer."""
    head = model.get_submodule(layout.head)
    inner = last_linear(head)
    old = head.get_submodule(inner)
    new = nn.Linear(int(old.in_features), outputs)  # type: ignore[arg-type]
    if isinstance(head, nn.Sequential) and any(not isinstance(layer, nn.Linear | nn.Dropout) for layer in head):
        for layer in head:
            if isinstance(layer, nn.Dropout):
                layer.p = dropout
        head.set_submodule(inner, new)
        return head
    layers = NewHead(nn.Dropout(dropout), new)
    model.set_submodule(layout.head, layers)
    return layers


def _small(
    model: nn.Module, architecture: str, layout: Layout, head: str, outputs: int, dropout: float, size: int
) -> nn.Sequential:
    place = next((name for name in ("pool", "avgpool") if isinstance(getattr(model, name, None), nn.Module)), "")
    has_map = layout.known and layout.feature_depth == len(layout.blocks)
    if head == "flatten_256" and not (has_map and place):
        raise ConfigurationError(
            f"{architecture} has no feature map that a head could flatten; heads it can have: plain, pooled_256"
        )
    if has_map and place and not (head == "flatten_256" and _keeps_a_grid(model)):
        # whatever torchvision's `avgpool` gives is flattened behind it
        flat: nn.Module = nn.Flatten() if place == "pool" else nn.Identity()
        average: nn.Module = GlobalAverage() if place == "pool" else nn.AdaptiveAvgPool2d(1)
        setattr(model, place, flat if head == "flatten_256" else average)
    features = _features(model, size)
    if head == "flatten_256":
        layers = [nn.Flatten(), nn.Linear(features, UNITS), nn.ReLU(), nn.Dropout(dropout)]
    else:
        layers = [
            nn.Flatten(),
            *(nn.BatchNorm1d(features), nn.Dropout(dropout), nn.Linear(features, UNITS), nn.ReLU()),
            *(nn.BatchNorm1d(UNITS), nn.Dropout(SECOND_DROPOUT * dropout)),
        ]
    new = NewHead(*layers, nn.Linear(UNITS, outputs))
    model.set_submodule(layout.head, new)
    return new


def _keeps_a_grid(model: nn.Module) -> bool:
    """Say whether the network's own pooling leaves a grid of one size, whatever the input's."""
    own = getattr(model, "avgpool", None)
    return isinstance(own, nn.AdaptiveAvgPool2d) and own.output_size not in (1, (1, 1))


@torch.no_grad()
def _features(model: nn.Module, size: int) -> int:
    """Count what a head reads of an image of this side."""
    layout = layout_of(model)
    was_training = model.training
    model.eval()
    features = torch.zeros(1, 3, size, size)
    for block in layout.blocks:
        features = block(features)
    count = layout.pooling(features).numel()
    model.train(was_training)
    return count


def _holds(model: nn.Module, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True
