"""What every benchmark writes: a table on the screen and `results/NAME.json`, with the machine it ran on."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from imaging.atomic import write_text

RESULTS = Path(__file__).parent / "results"


def machine(gpu: str | None = None) -> dict[str, Any]:
    """Describe where the figures come from."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory_gib = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cpu": model, "cores": os.cpu_count(), "gpu": gpu, "memory_gib": memory_gib}


def commit() -> str:
    """Return the checkout's short commit, or "" outside one."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip()


def report(benchmark: str, rows: list[dict[str, Any]], *, gpu: str | None = None) -> Path:
    """Print the rows and write them.

    Args:
        benchmark: The name of the result's file.
        rows: Each with name, ours, peer, unit, ratio, runs, target and holds.
        gpu: Its name, where one was used.
    """
    path = RESULTS / f"{benchmark}.json"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"benchmark": benchmark, "commit": commit(), "machine": machine(gpu), "time": now, "rows": rows}
    write_text(path, json.dumps(result, indent=2) + "\n")
    columns = ("name", "ours", "peer", "unit", "ratio", "target", "holds")
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)
    return path
