"""Decoding and packing real radiographs: two workers on two cores against one on one, and MNIST's 70,000.

Run: `.venv/bin/python benchmarks/bench_ingest.py`. Needs the images at THORAX_DATA (default ../shared/data).
Every run is a whole ingest, report and digest included, in a process of its own; the two ways take turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import report

RUNS = 3
TARGET = 1.8
SECONDS_FOR_MNIST = 10.0
DATA = Path(os.environ.get("THORAX_DATA", "../shared/data"))


def measured(name: str, cores: int, labels: str | None) -> float:
    """Ingest `name` with as many workers as cores and return the images a second, imports left out."""
    from imaging.data.ingest import ingest

    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    with tempfile.TemporaryDirectory() as scratch:
        warm = Path(scratch) / "warm"
        ingest(str(_few(Path(scratch))), warm, size=32, pseudonym_key=bytes(32), workers=1)
        start = time.perf_counter()
        result = ingest(str(DATA / name), Path(scratch) / "out", labels=labels, pseudonym_key=bytes(32), workers=cores)
        elapsed = time.perf_counter() - start
    return sum(count["images"] for count in result.counts.values()) / elapsed


def _few(scratch: Path) -> Path:
    """Write two small pictures, so that every library is loaded before the clock runs."""
    import numpy as np
    from PIL import Image

    for label in ("a", "b"):
        (scratch / "few" / label).mkdir(parents=True)
        noise = np.random.default_rng(ord(label)).integers(0, 256, (80, 80), dtype=np.uint8)
        Image.fromarray(noise).save(scratch / "few" / label / "1.png")
    return scratch / "few"


def rate(name: str, cores: int, labels: str = "") -> float:
    """Measure in a fresh process, so that neither way inherits the other's memory."""
    command = [sys.executable, __file__, name, str(cores), labels]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return float(done.stdout)


def rows() -> list[dict[str, Any]]:
    """Measure both claims; without the second core or the images they stay open."""
    if not (DATA / "xray3" / "manifest.csv").is_file() or len(os.sched_getaffinity(0)) < 2:
        return [_row("ingest of xray3, two cores against one", [], [], TARGET)]
    one, two = [], []
    for _ in range(RUNS):
        one.append(rate("xray3", 1, "manifest.csv"))
        two.append(rate("xray3", 2, "manifest.csv"))
    mnist = [rate("mnist", 1) for _ in range(RUNS)]
    needed = 70_000 / SECONDS_FOR_MNIST
    return [
        _row("ingest of xray3 (1,775 JPEG to 224 px), two cores against one", two, one, TARGET),
        _row(f"ingest of MNIST (70,000 of 28 px), one core, within {SECONDS_FOR_MNIST:.0f} s", mnist, [needed], 1.0),
    ]


def _row(name: str, ours: list[float], peer: list[float], target: float) -> dict[str, Any]:
    mine, theirs = (round(statistics.median(runs), 1) if runs else None for runs in (ours, peer))
    ratio = round(mine / theirs, 2) if mine and theirs else None
    return {
        "name": name,
        "ours": mine,
        "peer": theirs,
        "unit": "images/s",
        "ratio": ratio,
        "runs": {"ours": [round(run, 1) for run in ours], "peer": [round(run, 1) for run in peer]},
        "target": target,
        "holds": None if ratio is None else ratio >= target,
    }


if __name__ == "__main__":
    if len(sys.argv) == 4:
        sys.stdout.write(str(measured(sys.argv[1], int(sys.argv[2]), sys.argv[3] or None)))
    else:
        report("ingest", rows())
