"""The audit record: a million events verified, in seconds and memory, and what one append takes.

Run: `.venv/bin/python benchmarks/bench_audit.py` (five minutes; `--quick`: a tenth, nothing written). Each verification
is a process of its own, started as a user starts it; the peer is the same with every signature verified against the
key instead of compared with the witness's copy, at a tenth of the events and in turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import AuditLog
from audit.event import AuditEvent, canonical, sha256_hex
from audit.heads import head_text
from audit.keys import public_bytes
from audit.store import COLUMNS, TABLE, TRIGGERS, Row
from audit.witness import genesis_hash

ROUNDS = 3
APPENDS = 200
SECONDS, MEBIBYTES = 60.0, 200.0


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Measure the audit record.")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once; writes nothing")
    asked = parser.parse_args()
    from report import report
    from rich.console import Console

    count, rounds = (100_000, 1) if asked.quick else (1_000_000, ROUNDS)
    with tempfile.TemporaryDirectory() as scratch:
        whole, tenth = Path(scratch, "whole"), Path(scratch, "tenth")
        make_log(whole, count)
        make_log(tenth, count // 10)
        runs: dict[str, list[tuple[float, float]]] = {"whole": [], "ours": [], "every": []}
        for _ in range(rounds):
            runs["whole"].append(verified(whole, count))
            runs["ours"].append(verified(tenth, count // 10))
            runs["every"].append(verified(tenth, count // 10, "--every-signature"))
        took, memory = (statistics.median(run[place] for run in runs["whole"]) for place in (0, 1))
        ours, every = (statistics.median(run[0] for run in runs[name]) for name in ("ours", "every"))
        rows = [
            row(f"{count:,} events verified", took, "s", SECONDS),
            row(f"{count:,} events verified: memory", memory, "MiB", MEBIBYTES),
            row(f"{count // 10:,} events; peer: every signature against the key", ours, "s", None, every),
            row("one append, on the disk and witnessed", append_ms(Path(scratch, "new")), "ms", None),
        ]
    if asked.quick:
        Console().print(rows)
        return
    report("audit", rows)


def row(what: str, ours: float, unit: str, target: float | None, peer: float | None = None) -> dict[str, Any]:
    """Return one line of the result."""
    ratio = None if peer is None else round(peer / ours, 1)
    holds = None if target is None else ours < target
    shown = None if peer is None else round(peer, 3)
    told = {"unit": unit, "ratio": ratio, "runs": ROUNDS, "target": target, "holds": holds}
    return {"name": what, "ours": round(ours, 3), "peer": shown, **told}


def make_log(folder: Path, count: int) -> None:
    """Write a log as `count` appends would have left it, signed and witnessed, in minutes less."""
    import sqlite3

    folder.mkdir()
    key = Ed25519PrivateKey.generate()
    public = public_bytes(key)
    witness = folder.with_name(f"{folder.name}-witness")
    witness.mkdir()
    (folder / "signing.key").write_bytes(key.private_bytes_raw())
    (witness / "audit.pub").write_text(public.hex() + "\n")
    connection = sqlite3.connect(folder / "audit.db")
    connection.execute(TABLE)
    with (witness / "heads.jsonl").open("w") as heads:

        def kept() -> Iterator[Row]:
            for one in chain(key, count):
                heads.write(f"\n{canonical({'seq': one.seq, 'hash': one.hash, 'signature': one.signature})}\n")
                yield one

        genesis = genesis_hash(public)
        signed = key.sign(head_text(0, genesis).encode()).hex()
        heads.write(canonical({"seq": 0, "hash": genesis, "signature": signed}) + "\n")
        connection.executemany(f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", kept())  # noqa: S608
    for trigger in TRIGGERS.values():
        connection.execute(trigger)
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def chain(key: Ed25519PrivateKey, count: int) -> Iterator[Row]:
    """Yield records of the size that the platform's own have."""
    previous = genesis_hash(public_bytes(key))
    for seq in range(1, count + 1):
        details = {"gate": "auroc", "value": seq / count, "bound": 0.9, "passed": True, "package": f"sha256:{seq:064x}"}
        event = AuditEvent(
            seq=seq,
            time="2026-11-29T12:00:00.000000+00:00",
            actor="trainer",
            action="gate.evaluated",
            subject=f"chest-xray/{seq}",
            details=details,
            previous_hash=previous,
        )
        digest = sha256_hex(event.text)
        values = (seq, event.time, event.actor, event.action, event.subject, canonical(details), previous)
        yield Row(*values, digest, key.sign(head_text(seq, digest).encode()).hex())
        previous = digest


def verified(folder: Path, count: int, *options: str) -> tuple[float, float]:
    """Run `thorax audit verify` and return its seconds and peak memory in MiB."""
    command = [str(Path(sys.executable).with_name("thorax")), "audit", "verify", "--json", *options]
    own = {"THORAX_AUDIT": str(folder), "THORAX_HOME": str(folder.parent / "home")}
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **own}, text=True)
    told = json.loads(process.stdout.read()) if process.stdout else {}
    _, status, used = os.wait4(process.pid, 0)
    if status or told["checked"] != count:
        raise SystemExit(f"the record does not hold: {told}")
    return time.perf_counter() - begin, used.ru_maxrss / 1024


def append_ms(folder: Path) -> float:
    """Return the median of appends to a new log."""
    log, took = AuditLog(folder), []
    for index in range(APPENDS):
        begin = time.perf_counter()
        log.append("run.started", actor="trainer", subject=f"run/{index}")
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1000


if __name__ == "__main__":
    main()
