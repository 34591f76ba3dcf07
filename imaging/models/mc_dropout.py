"""Monte Carlo dropout of the head alone: how far the answers of thinned heads lie apart.

Gal & Ghahramani 2016, "Dropout as a Bayesian Approximation". Only the head is asked again, since the features below it
are the same in every pass. The thinned heads are drawn once for all images, so an answer does not depend on its batch.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

PASSES = 20
SEED = 0


def has_dropout(head: nn.Module) -> bool:
    """Say whether a head can be thinned."""
    return any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in head.modules())


@torch.no_grad()
def thinned_logits(head: nn.Module, inputs: Tensor, *, passes: int = PASSES, seed: int = SEED) -> Tensor:
    """Ask `passes` thinned heads.

    Args:
        head: In evaluation mode; its normalisations stay so.
        inputs: What it reads, (N, ...).
        passes: Number of thinned heads.
        seed: Of what they drop.

    Returns:
        (passes, N, classes).
    """
    draws = torch.Generator().manual_seed(seed)
    return torch.stack([_thinned(head, inputs, draws) for _ in range(passes)])


def _thinned(layer: nn.Module, inputs: Tensor, draws: torch.Generator) -> Tensor:
    if isinstance(layer, nn.Dropout):
        kept = torch.rand(inputs.shape[1:], generator=draws) >= layer.p
        return inputs * (kept / (1 - layer.p)).to(inputs.device) if layer.p < 1 else torch.zeros_like(inputs)
    if isinstance(layer, nn.Sequential):
        for one in layer:
            inputs = _thinned(one, inputs, draws)
        return inputs
    return layer(inputs)


def entropy_nats(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Entropy over the last axis: 0 is certain, log(classes) knows nothing."""
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return -(probabilities * logs).sum(axis=-1) + 0.0


def mutual_information_nats(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Entropy of the mean answer less the mean entropy of the answers; 0 where all heads agree.

    Houlsby et al. 2011, "Bayesian Active Learning", equation 1.

    Args:
        probabilities: (passes, N, classes).

    Returns:
        (N,).
    """
    between = entropy_nats(probabilities.mean(axis=0)) - entropy_nats(probabilities).mean(axis=0)
    return np.maximum(between, 0)
