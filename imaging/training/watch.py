"""What goes wrong while training, said so that one can act: a loss that is no number, memory that is too small."""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from imaging.errors import TrainingDivergedError, TrainingMemoryError

LOOK_EVERY = 50
"""Steps between two looks at a GPU's losses: each look waits for it."""


class LossWatch:
    """Adds the losses of an epoch up and stops at the first that is not finite.

    Args:
        device: Where losses are. On a CPU every step is looked at; on a GPU every fiftieth, and the first
            bad one of them is found.
        describe: Says of a step (from 0) where it is: epoch, images, learning rate.
    """

    def __init__(self, device: torch.device, describe: Callable[[int], str]) -> None:
        self._on_cpu = device.type == "cpu"
        self._total = self._normaliser = 0.0
        self._sums = torch.zeros(2, device=device, dtype=torch.float64)
        self._first_bad = torch.full((), -1, device=device, dtype=torch.int64)
        self._describe = describe
        self._step = 0

    def add(self, total: Tensor, normaliser: Tensor) -> None:
        """Take a step's summed loss and its normaliser in.

        Raises:
            TrainingDivergedError: when a loss was not finite.
        """
        if self._on_cpu:  # numbers are at hand, and cost less than tensors
            value = float(total)
            if not math.isfinite(value):
                raise self._diverged(self._step)
            self._total += value
            self._normaliser += float(normaliser)
            self._step += 1
            return
        self._sums += torch.stack([total, normaliser])
        is_first_bad = ~torch.isfinite(total) & (self._first_bad < 0)
        self._first_bad = torch.where(is_first_bad, self._step, self._first_bad)
        self._step += 1
        if self._step % LOOK_EVERY == 0:
            self.look()

    def look(self) -> float:
        """Return the mean so far.

        Raises:
            TrainingDivergedError: when a loss was not finite.
        """
        if not self._on_cpu:
            bad = int(self._first_bad)
            if bad >= 0:
                raise self._diverged(bad)
            self._total, self._normaliser = self._sums.tolist()
        return self._total / self._normaliser if self._step else 0.0

    def _diverged(self, step: int) -> TrainingDivergedError:
        return TrainingDivergedError(f"the training loss is not a number {self._describe(step)}")


def check_validation_loss(loss: float, stage: str, epoch: int) -> None:
    """Raise TrainingDivergedError when a validation loss is not finite."""
    if not math.isfinite(loss):
        raise TrainingDivergedError(
            f"the validation loss is {loss} in epoch {epoch} of stage {stage!r}; a lower learning rate would help"
        )


@contextlib.contextmanager
def memory_advice(batch_size: int, attempt: Callable[[int], None]) -> Iterator[None]:
    """Turn running out of memory into an error that says which batch size fits.

    Args:
        batch_size: The one that did not.
        attempt: Runs one step with so many images, without changing any weight.

    Raises:
        TrainingMemoryError: instead of torch's error.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = batch_size
    else:
        return
    # outside the handler, so that the failed step's tensors are gone
    fitting = _largest_fitting(size, attempt)
    advice = f"a batch_size of {fitting} fits" if fitting else "not even one image fits; use a smaller input size"
    raise TrainingMemoryError(f"memory ran out at a batch_size of {size}; {advice}")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error is torch's, or the system's, for want of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "out of memory" in text


def _largest_fitting(size: int, attempt: Callable[[int], None]) -> int:
    """Halve until a step fits; 0 where none does."""
    while size > 1:
        size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            attempt(size)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
    return 0
