"""Several processes that train one network: each computes its share of every batch, and sums meet here.

Alone, every call gives back what it got. `torchrun` (or a TrainJob on Kubernetes) starts the processes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

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

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Let gradients of `network` be averaged over the processes; batch norms share their statistics on GPUs."""
        if self.size == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        if device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that the environment names (`RANK`, `WORLD_SIZE`, …), or be alone."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield World(rank=distributed.get_rank(), size=distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
