"""Drift: its speed and memory beside Evidently's, its false alarms, and what it finds at which size.

Run: `.venv/bin/python benchmarks/bench_drift.py [--paste]` (half an hour; `--quick`: a tenth of everything, nothing
written); real radiographs from `THORAX_DATA`, without which the last two parts are left out. Each timed run is a
process of its own that begins with the Parquet file; ours and Evidently's take turns; medians.

Evidently computes PSI of all columns in bins that it lays over both samples, and so needs the reference's raw rows,
here as many as the window's. Ours counts in bins fixed by the reference, draws what chance gives at this size, and
compares; it has the profile that a model directory carries, at most 20,000 rows, made when the model was packaged.
With Evidently's own bins on the same rows both give the same index.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(os.environ.get("THORAX_DATA", "../shared/data"))
PROFILE_ROWS = 20_000
ROWS_A_FILE = 1_000_000
ROUNDS = 3
LAYOUT: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "row_group_size": 125_000}
Row = dict[str, Any]


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Measure drift.")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once; writes nothing")
    parser.add_argument("--paste", action="store_true", help="write the table of monitoring/README.md")
    parser.add_argument("--one", nargs=3, metavar=("WHO", "FOLDER", "COLUMNS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        run_one(asked.one[0], Path(asked.one[1]), int(asked.one[2]))
        return
    from report import report  # late, as the rest: a timed process carries nothing that it does not use
    from rich.console import Console

    small = 10 if asked.quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        rows = speed(Path(scratch), 1_000_000 // small, rounds=1 if asked.quick else ROUNDS)
        rows += size(Path(scratch), 10_000_000 // small)
        rows += log_size(Path(scratch), 2_000_000 // small)
    if (DATA / "xray3").is_dir():
        from drift_finds import false_alarms, power
        from drift_pool import real_pool

        pool = real_pool(DATA / "xray3")
        rows += false_alarms(pool, windows=1_000 // small)
        rows += power(pool, windows=60 // small)
    else:
        Console(stderr=True).print(f"SKIPPED false alarms and power: no images at {DATA / 'xray3'} (set THORAX_DATA)")
    if asked.quick:
        Console().print(rows)
        return
    path = report("drift", rows)
    if asked.paste:
        from drift_table import paste

        paste(json.loads(path.read_text(encoding="utf-8")))


def speed(scratch: Path, rows: int, *, rounds: int) -> list[Row]:
    """Return 20 columns by us and by Evidently, in turns: seconds, memory, and how far the indices are apart."""
    folder = write_columns(scratch / "million", rows, 20)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "evidently": []}
    for turn in range(rounds):
        for who in ("ours", "evidently"):
            sys.stderr.write(f"round {turn + 1}: {who}\n")
            found[who].append(measured(who, folder, 20))
    ours, peer = ({key: statistics.median(run[key] for run in found[who]) for key in found[who][0]} for who in found)
    label = f"{rows:,} rows x 20 columns"
    compute = round(peer["compute"] / ours["compute"], 1)
    memory = round(peer["mib"] / ours["mib"], 1)
    apart = max(run["apart"] for run in found["evidently"])
    return [
        row(f"{label}: computing", ours["compute"], "s", peer["compute"], compute, 40.0, holds=compute >= 40),
        row(f"{label}: the process", ours["whole"], "s", peer["whole"], round(peer["whole"] / ours["whole"], 1)),
        row(f"{label}: memory", ours["mib"], "MiB", peer["mib"], memory, 300.0, holds=ours["mib"] < 300),
        row("PSI in Evidently's bins: largest difference", apart, "PSI", target=1e-6, holds=apart <= 1e-6),
    ]


def size(scratch: Path, rows: int) -> list[Row]:
    """Return 40 columns at one tenth and all of `rows`: seconds, memory, and how both grow."""
    few = measured("ours", write_columns(scratch / "tenth", rows // 10, 40), 40)
    many = measured("ours", write_columns(scratch / "all", rows, 40), 40)
    label = f"{rows:,} rows x 40 columns"
    growth = round(many["compute"] / few["compute"], 1)
    return [
        row(f"{label}: the process", many["whole"], "s", target=40.0, holds=many["whole"] < 40),
        row(f"{label}: memory; peer: a tenth", many["mib"], "MiB", few["mib"], target=1024.0, holds=many["mib"] < 1024),
        row(f"{label}: time against a tenth", growth, "times", target=12.0, holds=growth <= 12),
    ]


def log_size(scratch: Path, rows: int) -> list[Row]:
    """Return the drift job over a prediction log of `rows` requests, each image once."""
    from drift_log import write_log

    home = write_log(scratch / "home", rows)
    found = measured("log", home, 0)
    label = f"the whole job over a log of {rows:,} requests in seven days"
    return [
        row(label, found["whole"], "s"),
        row(f"{label}: memory", found["mib"], "MiB", target=1024.0, holds=found["mib"] < 1024),
    ]


def row(
    name: str,
    ours: float,
    unit: str,
    peer: float | None = None,
    ratio: float | None = None,
    target: float | None = None,
    *,
    holds: bool | None = None,
) -> Row:
    """Return one row of the result."""
    told = {"unit": unit, "ratio": ratio, "runs": ROUNDS if ratio else 1, "target": target, "holds": holds}
    shown = round(ours, 3) if ours >= 1e-3 else float(f"{ours:.2g}")
    return {"name": name, "ours": shown, "peer": None if peer is None else round(peer, 3), **told}


def write_columns(folder: Path, rows: int, columns: int) -> Path:
    """Write `rows` of float32 columns as Parquet, and the reference beside them."""
    chance = np.random.default_rng(0)
    (folder / "log").mkdir(parents=True)
    for begin in range(0, rows, ROWS_A_FILE):
        count = min(ROWS_A_FILE, rows - begin)
        made = {f"c{i}": (chance.standard_normal(count, dtype=np.float32) * 1.02 + 0.02) for i in range(columns)}
        pq.write_table(pa.table(made), folder / "log" / f"{begin}.parquet", **LAYOUT)
    reference = {f"c{i}": chance.standard_normal(min(rows, ROWS_A_FILE), dtype=np.float32) for i in range(columns)}
    pq.write_table(pa.table(reference), folder / "reference.parquet", **LAYOUT)
    profile = {name: values[:PROFILE_ROWS] for name, values in reference.items()}
    pq.write_table(pa.table(profile), folder / "profile.parquet")
    return folder


def measured(who: str, folder: Path, columns: int) -> dict[str, float]:
    """Run one side in a process of its own; return its figures, and the whole seconds of the process."""
    command = [sys.executable, __file__, "--one", who, str(folder), str(columns)]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "whole": time.perf_counter() - begin}


def run_one(who: str, folder: Path, columns: int) -> None:
    """Compute as one side and print seconds, memory and how far it is from the index in Evidently's bins."""
    from drift_sides import by_evidently, by_job, by_us

    begin = time.perf_counter()
    apart, left_out = {"ours": by_us, "evidently": by_evidently, "log": by_job}[who](folder, columns)
    spent = time.perf_counter() - begin - left_out
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"compute": spent, "mib": mib, "apart": apart}) + "\n")


if __name__ == "__main__":
    main()
