"""Memory that steps free, while a network trains and afterwards."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from imaging.training.allocation import kept_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's memory is kept")
def test_freed_memory_stays_with_the_process_until_training_ends() -> None:
    before = resident_mib()
    with kept_memory():
        tensors = [torch.ones(2**20, dtype=torch.uint8) for _ in range(64)]
        del tensors
        during = resident_mib()
    assert during > before + 32
    assert resident_mib() < during - 32


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
