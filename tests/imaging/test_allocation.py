"""Memory that steps free, while a network trains or answers and afterwards."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from imaging.allocation import kept_memory

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

before = resident_mib()
with kept_memory():
    with kept_memory():
        tensors = [torch.ones(2**20, dtype=torch.uint8) for _ in range(64)]
        del tensors
    during = resident_mib()
print(during - before, during - resident_mib())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's memory is kept")
def test_freed_memory_stays_with_the_process_until_the_outermost_block_ends() -> None:
    # in a process of its own: what this one has freed before would be used again, and nothing would grow
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    kept, given_back = map(float, ended.stdout.split())
    assert kept > 32
    assert given_back > 32
