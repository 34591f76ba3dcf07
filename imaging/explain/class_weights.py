"""The weights of a head that is linear over averaged features: with them a class map needs no backward pass.

Source: Zhou et al. 2016, "Learning deep features for discriminative localization", section 2; that such a map is
Grad-CAM's: Selvaraju et al. 2017, "Grad-CAM", section 3.1.
"""

import torch
from torch import Tensor, nn

from imaging.models.ensemble import Combine, EachMember
from imaging.models.heads import TwoLogits
from imaging.models.layers import GlobalAverage, Tail

SILENT = (nn.Dropout, nn.Identity, nn.Flatten)
"""Layers that leave a vector of features as it is when a network answers."""


def class_weights(tail: Tail) -> Tensor | None:
    """Return (classes, F): by how much a feature's average over space raises each logit, or the sum of an ensemble's.

    `None` where anything but averaging and linear layers stands between the last feature map and the logits.
    """
    if len(tail.blocks) or not _averages(tail.pooling):
        return None
    if not isinstance(tail.head, Combine):
        return _weights_of(tail.head)
    each = [_weights_of(head) for head in tail.head.heads]
    known = [weights for weights in each if weights is not None]
    return torch.cat(known, dim=1) if len(known) == len(each) else None


def _weights_of(head: nn.Module) -> Tensor | None:
    weights: Tensor | None = None
    for layer in _flat(head):
        if isinstance(layer, SILENT) and not (isinstance(layer, nn.Dropout) and layer.training and layer.p):
            continue
        if isinstance(layer, nn.Linear):
            weights = layer.weight if weights is None else layer.weight @ weights
        elif isinstance(layer, TwoLogits) and weights is not None:
            weights = torch.cat([torch.zeros_like(weights), weights])
        else:
            return None
    return None if weights is None else weights.detach()


def _averages(pooling: nn.Module) -> bool:
    """Say whether each feature becomes its mean over space."""
    if isinstance(pooling, GlobalAverage):
        return True
    if isinstance(pooling, EachMember):
        return all(_averages(part) for part in pooling.parts)
    layers = [layer for layer in _flat(pooling) if not isinstance(layer, SILENT)]
    if len(layers) != 1:
        return False
    (layer,) = layers
    return isinstance(layer, GlobalAverage) or (
        isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1))
    )


def _flat(module: nn.Module) -> list[nn.Module]:
    """Return the layers of nested sequences, in the order they run."""
    if not isinstance(module, nn.Sequential):
        return [module]
    return [layer for part in module for layer in _flat(part)]
