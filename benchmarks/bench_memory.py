"""Memory of an epoch over images that are larger than what may stay in memory.

Run: `.venv/bin/python benchmarks/bench_memory.py [--gib N]`. A sparse file of packed images, by default larger than
the machine's memory, is read once in random order as the training loop reads it. The figure is the most resident
memory beyond the start; there is no peer, the ratio is against the target of 2 GiB. A sparse file costs no disk to
read, so the rate is the loop's own limit and not a disk's.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from report import report
from rich.progress import Progress

from imaging.training.batches import PackedImages, Plan, StreamedImages

SIDE, BATCH = 224, 256
TARGET_GIB = 2.0


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Measure the memory of an epoch over a large file.")
    memory_gib = psutil.virtual_memory().total / 2**30
    parser.add_argument("--gib", type=float, default=memory_gib * 1.1, help="size of the file")
    gib = parser.parse_args().gib
    count = int(gib * 2**30) // SIDE**2
    process, device = psutil.Process(), torch.device("cpu")
    with tempfile.TemporaryDirectory() as scratch, Progress() as progress:
        path = Path(scratch) / "images.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE))
        images = StreamedImages(PackedImages.of(np.load(path, mmap_mode="r")), device)
        plan = Plan.of(torch.randperm(count).split(BATCH), device)
        before, most, started = process.memory_info().rss, 0, time.perf_counter()
        task = progress.add_task("reading", total=len(plan.totals))
        for _ in images.batches(plan):
            most = max(most, process.memory_info().rss)
            progress.advance(task)
        seconds = time.perf_counter() - started
    beyond = (most - before) / 2**30
    rate = round(count / seconds)
    report(
        "memory",
        [
            {
                "name": f"an epoch over {gib:.0f} GiB on a machine of {memory_gib:.0f} GiB ({rate} images/s)",
                "ours": round(beyond, 2),
                "peer": None,
                "unit": "GiB resident beyond the start",
                "ratio": round(TARGET_GIB / max(beyond, 1e-3), 1),
                "runs": [round(beyond, 2)],
                "target": TARGET_GIB,
                "holds": beyond <= TARGET_GIB,
            }
        ],
    )


if __name__ == "__main__":
    main()
