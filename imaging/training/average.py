"""An exponential moving average of a network's weights, which is smoother than any one step of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of the weights that learn, and of the batch norms' statistics.

    The decay grows with the number of steps as (1 + t) / (10 + t) up to its value, so that the random beginning
    is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float, *, steps: int = 0) -> None:
        self.decay = decay
        self.steps = steps
        own = [*model.parameters(), *model.buffers()]
        self._live = [value for value in own if value.is_floating_point()]
        self._average = [value.detach().clone() for value in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of another step in."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._average, [value.detach() for value in self._live], 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network have the average's weights for a while."""
        before = [value.detach().clone() for value in self._live]
        self._put(self._average)
        try:
            yield
        finally:
            self._put(before)

    def tensors(self) -> list[Tensor]:
        """Return the average's tensors; a checkpoint keeps them."""
        return self._average

    @torch.no_grad()
    def restore(self, tensors: list[Tensor], steps: int) -> None:
        """Go on from a checkpoint."""
        torch._foreach_copy_(self._average, [value.to(self._average[0].device) for value in tensors])
        self.steps = steps

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        torch._foreach_copy_([value.detach() for value in self._live], values)
