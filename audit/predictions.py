"""The durable spool of the prediction log: a server appends one row a request, a collector takes them away later.

JSON lines, one file a process, one O_APPEND write a row: what was appended survives a kill of the process. A file is
held with a shared lock while its writer lives, so that a collector knows which files will not grow any more.
"""

import contextlib
import fcntl
import json
import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

FIELDS = (
    *("time", "request_id", "model_version", "model_digest", "stage", "image_sha256", "modality", "view"),
    *("rows", "columns", "manufacturer", "site", "statistics", "scores", "prediction", "triage", "reasons"),
    *("latency_ms", "refusal_code", "media_type", "novelty", "embedding"),
)
"""What a row may hold; anything else is left out, so that nothing of a patient gets in by accident."""
LARGEST_FILE = 64 * 2**20
SUFFIX = ".jsonl"


class PredictionSpool:
    """The writing end; cheap to make, safe with threads and after a fork.

    Rows that a full disk does not take wait in memory, up to `most_waiting`, and are written before the next one; what
    is more than that is counted as lost. A kill loses those that wait.
    """

    def __init__(self, directory: Path, *, most_waiting: int = 0) -> None:
        """Name the folder; it and this process's file are made by the first row."""
        self._directory = directory
        self._waiting: deque[bytes] = deque()
        self._most_waiting = most_waiting
        self.lost = 0
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._owner = 0
        self._written = 0
        self._torn = False

    @property
    def waiting(self) -> int:
        """How many rows wait for the disk."""
        return len(self._waiting)

    def append(self, row: Mapping[str, Any]) -> bool:
        """Keep `row`; return whether it is on disk. Never raises: an answer does not wait for its log."""
        line = b""
        try:
            kept = {name: row[name] for name in FIELDS if name in row}
            line = json.dumps(kept, separators=(",", ":"), allow_nan=False).encode() + b"\n"
            with self._lock:
                while self._waiting:
                    self._write(self._waiting[0])
                    self._waiting.popleft()
                self._write(line)
        except (OSError, TypeError, ValueError) as error:
            self._put_aside(line)
            logger.critical(
                "prediction not spooled: %s; %d wait, %d lost", type(error).__name__, self.waiting, self.lost
            )
            return False
        return True

    def _put_aside(self, line: bytes) -> None:
        with self._lock:
            if line and len(self._waiting) < self._most_waiting:
                self._waiting.append(line)
            else:
                self.lost += 1

    def close(self) -> None:
        """Let go of the file; the next row opens another."""
        with self._lock:
            self._close()

    def _write(self, line: bytes) -> None:
        if self._descriptor is None or self._owner != os.getpid() or self._written > LARGEST_FILE:
            self._open()
        if self._descriptor is None:
            raise OSError("no spool file")
        data = b"\n" + line if self._torn else line
        self._torn = True
        written = os.write(self._descriptor, data)
        self._written += written
        if written != len(data):
            raise OSError("the disk took half a row")
        self._torn = False

    def _open(self) -> None:
        """Start a file of our own: a fork shares its parent's descriptor, and must not share its file.

        It gets its final name only once it is locked, else a collector could take it for finished and remove it.
        """
        self._close()
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{os.getpid()}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        unlocked = path.with_suffix(".new")
        descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        unlocked.rename(path)
        self._descriptor, self._owner, self._written, self._torn = descriptor, os.getpid(), 0, False

    def _close(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None


def read_spool(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield each spooled request once, by `request_key`; torn lines are passed over."""
    seen: set[tuple[str, str, str]] = set()
    for path in spool_files(directory):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        for row in parse_rows(data):
            key = request_key(row)
            if key not in seen:
                seen.add(key)
                yield row


def request_key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what makes two rows one request: a client may use its `request_id` again for another image."""
    return str(row["request_id"]), str(row.get("image_sha256") or ""), str(row.get("model_digest") or "")


def spool_files(directory: Path) -> list[Path]:
    """Return the spool's files, oldest first."""
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def parse_rows(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the rows of complete lines; one torn by a kill or a full disk is no row."""
    for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("request_id"), str):
                yield row


def is_finished(path: Path) -> bool:
    """Tell whether no living process holds the file; only then may it be removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
