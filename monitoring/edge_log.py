"""Requests that no model saw: from the request log of the edge (nginx in front of TorchServe) to rows of the log.

Over HTTP a line is a row when TorchServe gave no answer to it: a body that is too large or never came, a wrong
method, a TorchServe that is away. What TorchServe answered is the handler's row, or `turned_away`'s. Over gRPC a line
is a row when its status is not OK: TorchServe sends whatever the handler answers, refusals too, with OK.

The edge writes paths as one of a few names, never as they came; its format is that of `thorax/stack/nginx.conf.in`.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.predictions import PredictionSpool
from imaging.atomic import write_text
from imaging.errors import ServiceError

FILES = re.compile(r"requests-(?P<day>\d{4}-\d\d-\d\d|unknown)\.jsonl")
PREDICTION_PATHS = (
    *("/predictions/chest-xray", "/predictions/chest-xray/*", "/explanations/chest-xray", "/explanations/chest-xray/*"),
    *("/invocations", "/v1/models/chest-xray:*", "/v2/models/chest-xray/*"),
)
"""The names that the edge gives to what asks for a prediction; the same requests as `turned_away.OURS`."""
PREDICTION_CALLS = ("Predictions", "StreamPredictions", "StreamPredictions2", "ModelInfer")
DESCRIBES = ("OPTIONS", "HEAD")
GRPC_CODES = (
    *("ok", "cancelled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists"),
    *("permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented"),
    *("internal", "unavailable", "data_loss", "unauthenticated"),
)
"""By number, as https://grpc.io/docs/guides/status-codes has them."""
CLIENT_LEFT = 499
ID = re.compile(r"[0-9a-f]{32}")
TEXTS = ("id", "listener", "method", "path", "answered", "grpc")
BEGIN = b'{"time":'
LARGEST_READ = 8 * 2**20
KEPT_DAYS = 7
"""A file that was read to its end is kept for so long after its day."""


def take_edge_refusals(logs: Path, spool: Path, state: Path) -> int:
    """Append to the spool what the edge's logs tell since the last call; return how many rows.

    Safe to kill: a row's id is the one that the edge gave to the request, so that a line read twice is one request.

    Args:
        logs: The edge's folder of logs, one file a day (UTC).
        spool: Folder of the spool.
        state: JSON file that keeps how far each file was read.

    Raises:
        ServiceError: when the spool takes no rows; they are read again at the next call.
    """
    offsets, rows = _load(state), 0
    writer = PredictionSpool(spool)
    try:
        for path in sorted(path for path in logs.glob("requests-*.jsonl") if FILES.fullmatch(path.name)):
            while data := _next_lines(path, offsets.get(path.name, 0)):
                for row in parse_edge_log(data):
                    if not writer.append(row):
                        raise ServiceError("the spool of the prediction log takes no rows: is the disk full?")
                    rows += 1
                offsets[path.name] = offsets.get(path.name, 0) + len(data)
                _save(state, offsets)
        if gone := [name for name in offsets if _is_over(logs / name, offsets[name])]:
            for name in gone:
                (logs / name).unlink(missing_ok=True)
                del offsets[name]
            _save(state, offsets)
    finally:
        writer.close()
    return rows


def parse_edge_log(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield a row for each line of a request for a prediction that no handler answered."""
    for line in data.split(b"\n"):
        entry = _entry(line)
        code = _refusal(entry) if entry else ""
        if entry and code:
            yield {
                "time": datetime.fromtimestamp(entry["time"], UTC).isoformat(timespec="milliseconds"),
                "request_id": f"edge-{entry['id']}",
                "model_version": None,
                "latency_ms": round(entry["seconds"] * 1000, 3),
                "refusal_code": code,
            }


def _refusal(entry: dict[str, Any]) -> str:
    """Return the code of the refusal; empty where the line is none, or somebody else's to tell."""
    status = entry["status"]
    if entry["listener"] == "grpc":
        return _grpc_refusal(entry["path"], status, entry["grpc"])
    was_answered = entry["answered"][:1].isdigit()
    if was_answered or status < 400 or entry["method"] in DESCRIBES or entry["path"] not in PREDICTION_PATHS:
        return ""
    return f"edge_{status}"


def _grpc_refusal(call: str, status: int, grpc: str) -> str:
    if call not in PREDICTION_CALLS:
        return ""
    if grpc.isdecimal():
        number = int(grpc)
        return "" if number == 0 else f"grpc_{GRPC_CODES[number] if number < len(GRPC_CODES) else 'unknown'}"
    if status == CLIENT_LEFT:
        return "grpc_cancelled"
    return "grpc_unknown" if status < 400 else f"edge_{status}"


def _entry(line: bytes) -> dict[str, Any] | None:
    """Read one line; None where it is none of ours. What a full disk cut short may precede it on the line."""
    begin = line.rfind(BEGIN)
    if begin < 0:
        return None
    try:
        found = json.loads(line[begin:])
        entry: dict[str, Any] = {name: str(found[name]) for name in TEXTS}
        entry |= {"time": float(found["time"]), "seconds": float(found["seconds"]), "status": int(found["status"])}
        datetime.fromtimestamp(entry["time"], UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
    return entry if ID.fullmatch(entry["id"]) else None


def _next_lines(path: Path, offset: int) -> bytes:
    """Return whole lines from `offset` on; a torn last line waits for its end."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(LARGEST_READ)
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _is_over(path: Path, offset: int) -> bool:
    """Whether the file was read to its end, and its day is long over; or it is gone."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return True
    named = FILES.fullmatch(path.name)
    last_kept = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).date().isoformat()
    return bool(named) and size <= offset and path.name[len("requests-") :] < last_kept


def _load(state: Path) -> dict[str, int]:
    """Return how far each file was read; nothing where it cannot be told, as rows come in once anyway."""
    try:
        known = json.loads(state.read_text(encoding="utf-8"))["offsets"]
        return {str(name): max(0, int(offset)) for name, offset in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(state: Path, offsets: dict[str, int]) -> None:
    write_text(state, json.dumps({"offsets": offsets}, sort_keys=True) + "\n")
