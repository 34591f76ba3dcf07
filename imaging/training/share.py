"""Several processes that train one network: each computes its share of every batch, and sums meet here.

Alone, every call gives back what it got. `distributed.py` starts the processes on this machine, `trainjob.py` on a
cluster's nodes.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from imaging.errors import ConfigurationError
from imaging.training.shared_norm import norms_apart, share_norms

TIMEOUT = timedelta(minutes=10)
"""A process that does not answer for so long ends the run; the checkpoint stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Say whether this is the process that writes files and talks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process's part of a batch of `count`; parts differ by one image at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of all processes' `value`."""
        if self.size == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def join(self, rows: Tensor, count: int) -> Tensor:
        """Return all `count` rows, of which each process has its share, in order."""
        if self.size == 1:
            return rows
        whole = rows.new_zeros((count, *rows.shape[1:]))
        whole[self.share(count)] = rows
        distributed.all_reduce(whole)
        return whole

    def agreed(self, figures: dict[str, float]) -> dict[str, float]:
        """Return the first process's `figures`, so that all decide alike, whatever their last bits."""
        if self.size == 1:
            return figures
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=_device())
        distributed.broadcast(values, 0)
        return dict(zip(figures, values.tolist(), strict=True))

    def all_have(self, text: str) -> bool:
        """Say whether every process has this very `text`; waits until all have asked."""
        if self.size == 1:
            return True
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        bounds = torch.tensor([number, -number], device=_device())
        distributed.all_reduce(bounds, distributed.ReduceOp.MAX)
        return bounds.tolist() == [number, -number]

    def share_norms(self, model: nn.Module) -> nn.Module:
        """Let the batch norms of `model` see the images of all processes; `model` is changed."""
        return model if self.size == 1 else share_norms(model, _device())

    @contextmanager
    def apart(self, model: nn.Module) -> Iterator[None]:
        """Let this process run `model` while the others do something else."""
        with norms_apart(model if self.size > 1 else nn.Identity()):
            yield

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Let gradients of `network` be averaged over the processes; its buffers are the same on all of them."""
        if self.size == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        return DistributedDataParallel(
            network, device_ids=[device.index] if device.type == "cuda" else None, forward_sync_buffers=False
        )


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that the environment names (`RANK`, `WORLD_SIZE`, …), or be alone.

    Raises:
        ConfigurationError: when a machine with GPUs has fewer of them than processes.
    """
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        place, present = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= present:
            wanted = os.environ.get("LOCAL_WORLD_SIZE", str(place + 1))
            raise ConfigurationError(f"{wanted} processes need a GPU each, and {present} are here; ask for fewer")
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    yield World(rank=distributed.get_rank(), size=distributed.get_world_size())
    # after an error the others may never answer; then the process ends without
    distributed.destroy_process_group()


def _device() -> torch.device:
    """Return where tensors are that all processes add up."""
    if distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
