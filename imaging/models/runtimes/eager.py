"""Torch itself, layer by layer: what training measured, and what every other runtime is held against."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imaging.models.layers import Tail
from imaging.models.runtimes.interface import Passed


@dataclass(frozen=True, kw_only=True, slots=True)
class Eager:
    """The network's own modules, on the device where they lie."""

    trunk: nn.Module
    tail: Tail
    device: torch.device
    name: str = "torch-fp32"

    @torch.no_grad()
    def run(self, inputs: Tensor) -> Passed:
        """Pass normalised inputs (N, C, S, S) float32 through the network."""
        features = self.trunk(inputs)
        last = self.tail.last(features)
        return Passed(features=features, last=last, logits=self.tail.decide(last))
