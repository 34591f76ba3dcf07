"""Where a torchvision network's parts are: an ordered list of blocks, then pooling, then the head.

For every architecture of `MODELS`, `head(pooled(blocks in order))` equals the network's own forward, so a
trainer can keep the output of frozen blocks and an explanation can start at the last feature map.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.errors import ConfigurationError
from imaging.models.architectures import MODELS


class FeatureMap(nn.Identity):
    """The place of the last feature map: a layer to hook that works on nothing else."""


class Tail(nn.Module):
    """The blocks from a depth on, pooling and the head. Shares its parameters with the network.

    Maps features of that depth to logits; at full depth, the features are either the last feature map
    (N, F, h, w) or already pooled (N, F).
    """

    def __init__(self, model: nn.Module, depth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*backbone_blocks(model)[depth:])
        self.feature_map = FeatureMap()
        self.head = head_module(model)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        features = self.feature_map(self.blocks(features))
        return self.head(pooled(features) if features.ndim == 4 else features)


def head_module(model: nn.Module) -> nn.Module:
    """Return the classifier: dropout and one linear layer."""
    return getattr(model, "fc" if hasattr(model, "fc") else "classifier")


def backbone_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks below the pooling, in the order they run; they share the network's parameters.

    Raises:
        ConfigurationError: for a network that is not of a known family.
    """
    if hasattr(model, "layer4"):
        stem = nn.Sequential(*(model.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool")))
        stages = (model.get_submodule(f"layer{number}") for number in (1, 2, 3, 4))
        return [stem, *(block for stage in stages for block in stage.children())]
    features = getattr(model, "features", None)
    if isinstance(features, nn.Sequential):
        parts = list(features)
        if not hasattr(features, "denseblock4"):
            return parts
        # torchvision applies this ReLU inside forward; here it is the end of the last block
        return [nn.Sequential(*parts[:4]), *parts[4:-1], nn.Sequential(parts[-1], nn.ReLU())]
    raise ConfigurationError(f"no blocks known for {type(model).__name__}; there are: {', '.join(MODELS)}")


def last_feature_layer(model: nn.Module) -> nn.Module:
    """Return the block whose output is pooled: what Grad-CAM looks at."""
    return backbone_blocks(model)[-1]


def trunk(model: nn.Module, depth: int) -> nn.Sequential:
    """Return the first `depth` blocks as one module."""
    return nn.Sequential(*backbone_blocks(model)[:depth])


def pooled(features: Tensor) -> Tensor:
    """Average a feature map (N, F, h, w) over space: (N, F)."""
    return torch.flatten(functional.adaptive_avg_pool2d(features, 1), 1)
