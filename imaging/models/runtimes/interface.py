"""What every runtime gives: the features that the explanation looks at, and the logits."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """A batch on its way through: at the explanation's depth, behind the last block, and at the end."""

    features: Tensor
    last: Tensor
    logits: Tensor


class Runtime(Protocol):
    """Runs a network without gradients."""

    @property
    def name(self) -> str:
        """How an answer names it, such as `torch-fp32`."""
        ...

    def run(self, inputs: Tensor) -> Passed:
        """Pass normalised inputs (N, C, S, S) float32 through the network."""
        ...
