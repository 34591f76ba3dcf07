"""Synthetic radiographs a second on one core, DICOM file included, against the target of 40.

Run: `.venv/bin/python benchmarks/bench_phantom.py`. There is no peer; the ratio is against the target.
"""

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from imaging.atomic import write_text
from imaging.data.phantom import write_phantom

TARGET = 40.0
PATIENTS = 60
RUNS = 5
RESULT = Path(__file__).parent / "results" / "phantom.json"


def images_per_second(seed: int) -> float:
    """Write one folder of 512-pixel pictures and return the images a second of wall time."""
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        out = write_phantom(Path(scratch) / "phantom", patients=PATIENTS, seed=seed, size=512)
        elapsed = time.perf_counter() - start
        return sum(1 for _ in (out / "images").iterdir()) / elapsed


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory_gib = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cpu": model, "cores": os.cpu_count(), "gpu": None, "memory_gib": memory_gib}


def commit() -> str:
    """Return the checkout's short commit, or "" outside one."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip()


def main() -> None:
    """Measure, print a table and write the result."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    images_per_second(seed=99)
    runs = [images_per_second(seed) for seed in range(RUNS)]
    ours = statistics.median(runs)
    row: dict[str, Any] = {
        "name": "phantom 512 px, one core, with DICOM write",
        "ours": round(ours, 1),
        "peer": None,
        "unit": "images/s",
        "ratio": round(ours / TARGET, 2),
        "runs": [round(run, 1) for run in runs],
        "target": TARGET,
        "holds": ours >= TARGET,
    }
    result = {
        "benchmark": "phantom",
        "commit": commit(),
        "machine": machine(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [row],
    }
    write_text(RESULT, json.dumps(result, indent=2) + "\n")
    table = Table("name", "images/s", "target", "ratio", "holds")
    table.add_row(row["name"], str(row["ours"]), str(TARGET), str(row["ratio"]), str(row["holds"]))
    Console().print(table)


if __name__ == "__main__":
    main()
