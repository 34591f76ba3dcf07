"""Where a network's parts are: an ordered list of blocks, then pooling, then the head.

For every architecture `head(pool(blocks in order))` equals the network's own forward in evaluation mode, so a trainer
can keep the output of frozen blocks and an explanation can start at the last feature map. Where the blocks of one of
torchvision's networks are not known, all below its last linear layer is one block, which ends in features (N, F).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.models.whole import HeadlessNetwork, last_linear


class FeatureMap(nn.Identity):
    """The place of the last feature map: a layer to hook that works on nothing else."""


class GlobalAverage(nn.Module):
    """Average a feature map (N, F, h, w) over space: (N, F)."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the averages."""
        return pooled(features)


class ClassToken(nn.Module):
    """Take the first of the tokens (N, T, F): (N, F)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the class token."""
        return tokens[:, 0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The parts of one network, which share its parameters.

    Attributes:
        blocks: In the order they run.
        pooling: From the last block's output to what the head reads.
        head: Its dotted name: the published classifier or what replaces it.
        feature_depth: After how many blocks an explanation looks at the features.
        known: Whether the blocks are the network's, not one of them all.
    """

    blocks: list[nn.Module]
    pooling: nn.Module
    head: str
    feature_depth: int
    known: bool = True


class Tail(nn.Module):
    """The blocks from a depth on, pooling and the head. Shares its parameters with the network.

    Maps features of that depth to logits; at full depth, the features are either the last feature map
    (N, F, h, w) or already pooled (N, F). Auxiliary heads are left out.
    """

    def __init__(self, model: nn.Module, depth: int) -> None:
        super().__init__()
        layout = layout_of(model)
        self.blocks = nn.Sequential(*layout.blocks[depth:])
        self.feature_map = FeatureMap()
        self.pooling = layout.pooling
        self.head = model.get_submodule(layout.head)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        return self.decide(self.last(features))

    def last(self, features: Tensor) -> Tensor:
        """Return what the last block gives: a map (N, F, h, w), tokens (N, T, F), or features (N, F)."""
        return self.feature_map(self.blocks(features))

    def decide(self, last: Tensor) -> Tensor:
        """Return the logits (N, classes) of what the last block gives."""
        return self.head(self.pooling(last) if last.ndim > 2 else last)

    def evidence(self, features: Tensor) -> Tensor:
        """Return what an explanation explains (N, classes): logits, of an ensemble the sum of its members' own."""
        last = self.last(features)
        each = getattr(self.head, "each", None)
        if each is None:
            return self.decide(last)
        return each(self.pooling(last) if last.ndim > 2 else last).sum(0)

    def embed(self, last: Tensor) -> Tensor:
        """Return one number a feature (N, F) of what the last block gives: a map's average, the class token."""
        return pooled(last) if last.ndim == 4 else torch.flatten(self.pooling(last) if last.ndim == 3 else last, 1)


def layout_of(model: nn.Module) -> Layout:
    """Return where the parts of a network are, whatever its head is now."""
    for marks, family in FAMILIES:
        if all(_has(model, name) for name in marks):
            return family(model)
    head = last_linear(model)
    return Layout(blocks=[HeadlessNetwork(model, head)], pooling=nn.Identity(), head=head, feature_depth=1, known=False)


def _has(model: nn.Module, name: str) -> bool:
    """Say whether a module or a parameter is there, by its dotted name."""
    place: object = model
    for part in name.split("."):
        place = getattr(place, part, None)
    return place is not None


def head_module(model: nn.Module) -> nn.Module:
    """Return the classifier."""
    return model.get_submodule(layout_of(model).head)


def backbone_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks below the pooling, in the order they run; they share the network's parameters."""
    return layout_of(model).blocks


def pool(model: nn.Module, features: Tensor) -> Tensor:
    """Do to the last block's output what the network does before its head: (N, F), or (N, F, 1, 1)."""
    return layout_of(model).pooling(features)


def feature_depth(model: nn.Module) -> int:
    """Return after how many blocks an explanation looks at the features.

    That is all of them, but where only the class token goes on from the last block: there it is one less.
    """
    return layout_of(model).feature_depth


def last_feature_layer(model: nn.Module) -> nn.Module:
    """Return the block whose output is pooled: what Grad-CAM looks at."""
    return backbone_blocks(model)[-1]


def trunk(model: nn.Module, depth: int) -> nn.Sequential:
    """Return the first `depth` blocks as one module."""
    return nn.Sequential(*backbone_blocks(model)[:depth])


def pooled(features: Tensor) -> Tensor:
    """Average a feature map (N, F, h, w) over space: (N, F)."""
    return torch.flatten(functional.adaptive_avg_pool2d(features, 1), 1)


def _convolutional(model: nn.Module, blocks: list[nn.Module], head: str) -> Layout:
    """Lay out blocks that end in a feature map, which the module `pool` or `avgpool`, or else a mean, pools."""
    pooling: nn.Module = GlobalAverage()
    if isinstance(own := getattr(model, "pool", None), nn.Module):
        pooling = own
    elif isinstance(theirs := getattr(model, "avgpool", None), nn.Module):
        # a head that begins with a normalisation of maps flattens for itself
        pooling = theirs if _reads_maps(model.get_submodule(head)) else nn.Sequential(theirs, nn.Flatten())
    return Layout(blocks=blocks, pooling=pooling, head=head, feature_depth=len(blocks))


def _reads_maps(head: nn.Module) -> bool:
    return any(isinstance(layer, nn.Flatten) for layer in head.children())


def _parts(model: nn.Module, names: str) -> list[nn.Module]:
    """Return one sequence for each group of names between commas; a group may have several, between spaces."""
    groups = [[model.get_submodule(name) for name in group.split()] for group in names.split(",")]
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]


def _resnet(model: nn.Module) -> Layout:
    stages = [model.get_submodule(f"layer{number}") for number in (1, 2, 3, 4)]
    blocks = _parts(model, "conv1 bn1 relu maxpool") + [block for stage in stages for block in stage.children()]
    return _convolutional(model, blocks, "fc")


def _cifar_resnet(model: nn.Module) -> Layout:
    stages = [model.get_submodule(f"layer{number}") for number in (1, 2, 3)]
    blocks = _parts(model, "conv1 bn1 relu") + [block for stage in stages for block in stage.children()]
    return _convolutional(model, blocks, "linear")


def _googlenet(model: nn.Module) -> Layout:
    names = (
        "conv1 maxpool1 conv2 conv3 maxpool2,inception3a,inception3b,maxpool3 inception4a,inception4b,inception4c,"
        "inception4d,inception4e,maxpool4 inception5a,inception5b"
    )
    return _convolutional(model, _parts(model, names), "fc")


def _inception(model: nn.Module) -> Layout:
    names = (
        "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2,Mixed_5b,Mixed_5c,"
        "Mixed_5d,Mixed_6a,Mixed_6b,Mixed_6c,Mixed_6d,Mixed_6e,Mixed_7a,Mixed_7b,Mixed_7c"
    )
    return _convolutional(model, _parts(model, names), "fc")


def _densenet(model: nn.Module) -> Layout:
    parts = list(model.get_submodule("features").children())
    # torchvision applies this ReLU inside forward; here it is the end of the last block
    blocks = [nn.Sequential(*parts[:4]), *parts[4:-1], nn.Sequential(parts[-1], nn.ReLU())]
    return _convolutional(model, blocks, "classifier")


def _sequence(model: nn.Module) -> Layout:
    """Lay out a network whose `features` run one after the other; bare convolutions are grouped up to a pooling."""
    parts = list(model.get_submodule("features").children())
    if not any(isinstance(part, nn.MaxPool2d) for part in parts):
        return _convolutional(model, parts, "classifier")
    ends = [0, *(index + 1 for index, part in enumerate(parts) if isinstance(part, nn.MaxPool2d))]
    blocks = [nn.Sequential(*parts[start:end]) for start, end in itertools.pairwise(ends)]
    return _convolutional(model, [*blocks, *parts[ends[-1] :]], "classifier")


def _vision_transformer(model: nn.Module) -> Layout:
    from imaging.models.tokens import Tokens

    encoder = model.get_submodule("encoder")
    *layers, last = encoder.get_submodule("layers").children()
    blocks = [Tokens(model), *layers, nn.Sequential(last, encoder.get_submodule("ln"))]
    return Layout(blocks=blocks, pooling=ClassToken(), head="heads", feature_depth=len(blocks) - 1)


def _ensemble(model: nn.Module) -> Layout:
    from imaging.models.ensemble import ensemble_layout

    return ensemble_layout(model)


FAMILIES: tuple[tuple[tuple[str, ...], Callable[[nn.Module], Layout]], ...] = (
    (("members", "combine"), _ensemble),
    (("layer4", "fc"), _resnet),
    (("layer3", "linear"), _cifar_resnet),
    (("inception5b",), _googlenet),
    (("Mixed_7c",), _inception),
    (("class_token",), _vision_transformer),
    (("features.denseblock4",), _densenet),
    (("features", "classifier"), _sequence),
)
"""Modules by which a family is known, and how its networks are laid out; the first that fits."""
