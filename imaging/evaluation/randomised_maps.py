"""Heat maps of the same network with weights drawn anew from the top, and how like its own they still are.

Adebayo et al. 2018, "Sanity checks for saliency maps", section 3.1 (cascading randomisation) and 4 (rank correlation).
"""

import copy
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from imaging.evaluation.metrics import Array
from imaging.explain import heat_maps
from imaging.models.layers import Tail, feature_depth, layout_of

Part = Literal["head", "head and last block"]
DRAWS = 3
"""Other networks for each part; their correlations are averaged."""


def compare_with_randomised(model: nn.Module, below: Tensor, targets: Tensor, *, cells: int) -> dict[Part, Array]:
    """Compare Grad-CAM maps before and after weights were drawn anew.

    Args:
        model: Of known layout, in evaluation mode; left as it is.
        below: (N, ...) what enters the last block before the map.
        targets: (N,) the class explained, the same before and after.
        cells: Side at which maps are compared: their own, so that enlarging adds no likeness.

    Returns:
        (N,) Spearman's correlation for each part; no number where the model's own map is flat.
    """
    depth = feature_depth(model)
    block, tail = layout_of(model).blocks[depth - 1], Tail(model, depth).eval()
    with torch.no_grad():
        features = block(below.clone())  # layers may work in place
    own = _flat_maps(tail, features, targets, cells)
    found: dict[Part, list[Array]] = {"head": [], "head and last block": []}
    for seed in range(DRAWS):
        other = copy.deepcopy(tail)
        draw_anew(other.head, seed=seed)
        found["head"].append(spearman(own, _flat_maps(other, features, targets, cells)))
        draw_anew(other.blocks, seed=seed)
        another = copy.deepcopy(block)
        draw_anew(another, seed=seed)
        with torch.no_grad():
            changed = another(below.clone())
        found["head and last block"].append(spearman(own, _flat_maps(other, changed, targets, cells)))
    return {part: np.mean(each, axis=0) for part, each in found.items()}


@torch.no_grad()
def draw_anew(module: nn.Module, *, seed: int) -> None:
    """Replace each weight, in place, by a normal draw with the mean and spread of its own tensor."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(parameter.mean() + parameter.std(correction=0) * noise)


def spearman(one: Array, other: Array) -> Array:
    """Return the rank correlation of each row of (N, K) with its row of the other.

    0 where only the other is flat: it shares nothing with the first. No number where the first is.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(values, axis=1) for values in (one, other))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    spread = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    found = np.divide((a * b).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 0)
    return np.where(np.square(a).sum(axis=1) > 0, found, np.nan)


def _flat_maps(tail: Tail, features: Tensor, targets: Tensor, cells: int) -> Array:
    maps = heat_maps(tail, features, targets, method="grad-cam", size=cells)
    return np.nan_to_num(maps.reshape(len(maps), -1).astype(np.float64))
