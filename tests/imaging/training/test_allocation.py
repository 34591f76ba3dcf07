"""While a network trains, memory that steps free stays with the process, and afterwards it does not."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from imaging.training.allocation import kept_memory

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's memory is kept")


def new_pages(blocks: int = 20, mib: int = 8) -> int:
    """Take and free blocks, writing to all of each; count the pages that the system had to hand out."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        torch.ones(mib * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@linux
def test_freed_blocks_are_used_again() -> None:
    with kept_memory():
        new_pages(blocks=1)
        kept = new_pages(blocks=20)
    assert kept <= 2 * 2**20 * 8 // resource.getpagesize(), "of 20 blocks, at most two may be new"


@linux
def test_the_system_gets_its_memory_back_afterwards() -> None:
    with kept_memory():
        tensors = [torch.ones(2**20, dtype=torch.uint8) for _ in range(64)]
        del tensors
        during = resident_mib()
    assert resident_mib() < during - 32


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
