"""From the spool to Parquet, partitioned by date and model version; and back, each request once.

At least once: a batch is announced in `collector.json` before it is written and struck off after, and its files are
named for the bytes they come from, so that a repeat after a kill replaces them. Requests that came twice are taken
out when a batch is written and again when the log is read.
"""

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audit import AuditLog
from audit.predictions import is_finished, parse_rows, request_key, spool_files
from imaging.atomic import write_bytes, write_text
from imaging.errors import ServiceError
from imaging.locks import locked
from monitoring.edge_log import take_edge_refusals
from monitoring.grpc_log import take_grpc_refusals
from monitoring.merkle import merkle_root
from monitoring.prediction_rows import canonical_line, date_of, moment, partition, to_table
from monitoring.turned_away import take_turned_away

STATE = "collector.json"
ACCESS_STATE = "access_log.json"
EDGE_STATE = "edge_log.json"
GRPC_STATE = "grpc_log.json"
LEAVES = "sorted canonical rows"
"""How the leaves of a batch's Merkle tree are made and ordered, as its event says."""
LARGEST_BATCH = 32 * 2**20
"""Bytes of spool taken at a time."""
LOCK_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What one collection moved."""

    rows: int
    files: int


def collect(
    spool: Path,
    parquet: Path,
    *,
    log: AuditLog | None = None,
    actor: str = "monitor",
    access_logs: Path | None = None,
    edge_logs: Path | None = None,
) -> Collected:
    """Move complete rows from `spool` to `parquet`; safe to kill at any moment and to run again.

    Args:
        spool: Folder that `audit.predictions.PredictionSpool` writes.
        parquet: Folder of the log.
        log: Gets one `prediction.logged` event a batch, with the Merkle root of its rows.
        actor: Who collects, for that event.
        access_logs: TorchServe's folder of logs, for the requests that it turned away before they reached the model.
        edge_logs: The edge's folder of logs, for the requests that never reached TorchServe and refused gRPC calls.

    Raises:
        ServiceError: when another collector is at work for more than a minute.
    """
    rows = files = 0
    with _alone(parquet):
        if access_logs is not None:
            take_turned_away(access_logs, spool, parquet / ACCESS_STATE)
            take_grpc_refusals(access_logs, spool, parquet / GRPC_STATE)
        if edge_logs is not None:
            take_edge_refusals(edge_logs, spool, parquet / EDGE_STATE)
        state = _load_state(parquet)
        paths = spool_files(spool)
        names = {path.name for path in paths}
        state["offsets"] = {name: offset for name, offset in state["offsets"].items() if name in names}
        for path in paths:
            # Asked before reading: what is finished now grows no more, so all of it is read below.
            finished = is_finished(path)
            while batch := _next_batch(path, state):
                taken, written = _keep(path, batch, parquet, state, log=log, actor=actor)
                rows, files = rows + taken, files + written
            if finished:
                path.unlink(missing_ok=True)
                state["offsets"].pop(path.name, None)
                _save_state(parquet, state)
    return Collected(rows=rows, files=files)


def read_log(parquet: Path, *, since: datetime | None = None, model_digest: str | None = None) -> list[dict[str, Any]]:
    """Return logged rows in order of time, each request once (its first row).

    A retry is one request with what it repeats; the same id with another image or model is another request.

    Args:
        parquet: Folder of the log.
        since: Rows before it are left out.
        model_digest: Rows of other models are left out.
    """
    import pyarrow.parquet as pq

    first_date = (since - timedelta(days=1)).date().isoformat() if since else ""
    kept: dict[tuple[str, str, str], dict[str, Any]] = {}
    for path in sorted(parquet.glob("date=*/model_version=*/*.parquet")):
        if (date_of(path) or "9") < first_date:
            continue
        for row in pq.ParquetFile(path).read().to_pylist(maps_as_pydicts="lossy"):
            if _is_asked(row, since, model_digest):
                key = request_key(row)
                known = kept.setdefault(key, row)
                if (row["time"] or "") < (known["time"] or ""):
                    kept[key] = row
    return sorted(kept.values(), key=lambda row: row["time"] or "")


def _is_asked(row: dict[str, Any], since: datetime | None, model_digest: str | None) -> bool:
    if model_digest is not None and row["model_digest"] != model_digest:
        return False
    when = moment(row["time"] or "")
    return since is None or (when is not None and when >= since)


def _next_batch(path: Path, state: dict[str, Any]) -> tuple[int, int] | None:
    """Return the bytes to take next: those of an announced batch first, else whole lines from where we are."""
    if path.name in state["pending"]:
        start, end = state["pending"][path.name]
        return start, end
    start = state["offsets"].get(path.name, 0)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(LARGEST_BATCH)
    end = start + data.rfind(b"\n") + 1
    return (start, end) if end > start else None


def _keep(
    path: Path, batch: tuple[int, int], parquet: Path, state: dict[str, Any], *, log: AuditLog | None, actor: str
) -> tuple[int, int]:
    start, end = batch
    state["pending"][path.name] = [start, end]
    _save_state(parquet, state)
    with path.open("rb") as file:
        file.seek(start)
        rows = list({request_key(row): row for row in reversed(list(parse_rows(file.read(end - start))))}.values())
    rows.reverse()
    name = f"{path.stem}-{start}-{end}"
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        parts[partition(row)].append(row)
    for folder, members in parts.items():
        _write_parquet(parquet / folder / f"{name}.parquet", members)
    if log is not None and rows:
        root = merkle_root(sorted(canonical_line(row) for row in rows))
        details = {"rows": len(rows), "merkle_root": root, "partitions": sorted(parts), "leaves": LEAVES}
        log.append("prediction.logged", actor=actor, subject=f"predictions/{name}", details=details)
    del state["pending"][path.name]
    state["offsets"][path.name] = end
    _save_state(parquet, state)
    return len(rows), len(parts)


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(to_table(rows), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def _load_state(parquet: Path) -> dict[str, Any]:
    try:
        state = json.loads((parquet / STATE).read_text())
    except FileNotFoundError:
        return {"offsets": {}, "pending": {}}
    except ValueError as error:
        raise ServiceError(f"{parquet / STATE} is not JSON: move it away, the spool is then collected again") from error
    return {"offsets": dict(state["offsets"]), "pending": dict(state["pending"])}


def _save_state(parquet: Path, state: dict[str, Any]) -> None:
    write_text(parquet / STATE, json.dumps(state, sort_keys=True) + "\n")


@contextlib.contextmanager
def _alone(parquet: Path) -> Iterator[None]:
    """One collector at a time; the kernel lets go of the lock of a killed one."""
    parquet.mkdir(parents=True, exist_ok=True)
    busy = f"another process collects the prediction log for more than {LOCK_WITHIN_S:.0f} s"
    with locked(parquet / "collector.lock", within_s=LOCK_WITHIN_S, busy=busy):
        yield
