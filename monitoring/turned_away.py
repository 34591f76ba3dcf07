"""Requests that TorchServe turned away by itself: from its access log to rows of the prediction log.

The handler logs what reaches it. What does not (no valid token, no such version, no worker, a full queue) is told from
it by the thread that wrote the line: TorchServe answers such a request from the network's thread, and what the handler
answered from the thread of its worker, `W-…`. There, statuses that the handler never gives are a worker that died or
was too slow. The pattern of the lines is that of `thorax/stack/log4j2.xml`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from audit.predictions import PredictionSpool
from imaging.atomic import write_text
from imaging.errors import ServiceError

FILES = "access_log*.log"
LINE = re.compile(
    rb"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<thread>\S+) - \S* "
    rb'"(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[\d.]+" (?P<status>\d{3}) (?P<ms>\d+)'
)
OURS = re.compile(
    r"/(predictions|explanations)/chest-xray(/.*)?|/invocations|/v1/models/chest-xray:\w+|/v2/models/chest-xray/.*"
)
WORKER = "W-"
OF_THE_HANDLER = (200, 400, 413, 415, 422, 429, 503)
"""What a worker's thread sends for the handler, which has logged it."""
DESCRIBES = ("OPTIONS", "HEAD")
HEAD_BYTES = 512
OPENINGS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """How far the access log has been read: in the file that begins with `head`. Rotation renames files only."""

    head: str = ""
    offset: int = 0


def take_turned_away(logs: Path, spool: Path, state: Path) -> int:
    """Append to the spool what TorchServe turned away since the last call; return how many rows.

    Safe to kill: a row's id is made from its line, so that a line read twice is one request.

    Args:
        logs: TorchServe's folder of logs.
        spool: Folder of the spool.
        state: JSON file that keeps the position.

    Raises:
        ServiceError: when the spool takes no rows; they are read again at the next call.
    """
    position, rows = _load(state), 0
    writer = PredictionSpool(spool)
    try:
        with ExitStack() as files:
            for head, file in _files(logs, files):
                if head < position.head:
                    continue
                begin = position.offset if head == position.head else 0
                file.seek(begin)
                data = file.read()
                end = data.rfind(b"\n") + 1
                for row in parse_access_log(data[:end], head=head, begin=begin):
                    if not writer.append(row):
                        raise ServiceError("the spool of the prediction log takes no rows: is the disk full?")
                    rows += 1
                read = Position(head=head, offset=file.tell() - len(data) + end)
                if read != position:
                    position = read
                    write_text(state, json.dumps({"head": read.head, "offset": read.offset}) + "\n")
    finally:
        writer.close()
    return rows


def parse_access_log(data: bytes, *, head: str = "", begin: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a row for each line of a request that TorchServe answered without the handler; no address, no query.

    Behind the edge all lines have one address, so that two requests of a moment differ by their place alone: by
    `head`, which names the file, and their offset in it, of which `begin` is the first.
    """
    place = begin
    for line in data.split(b"\n"):
        at, place = place, place + len(line) + 1
        if found := LINE.fullmatch(line.rstrip(b"\r")):
            text = {name: (value or b"").decode(errors="replace") for name, value in found.groupdict().items()}
            path = text["target"].split("?")[0]
            if _is_turned_away(text["thread"], text["method"], path, int(text["status"])):
                yield _row(text, path, f"{head}@{at}")


def _is_turned_away(thread: str, method: str, path: str, status: int) -> bool:
    if status < 400 or method in DESCRIBES or not OURS.fullmatch(path):
        return False
    return not (thread.startswith(WORKER) and status in OF_THE_HANDLER)


def _row(text: dict[str, str], path: str, place: str) -> dict[str, Any]:
    named = "\n".join((text["time"], text["thread"], text["method"], path, text["status"], text["ms"], place))
    return {
        "time": text["time"].replace("Z", "+00:00"),
        "request_id": "turned-away-" + hashlib.sha256(named.encode()).hexdigest()[:32],
        "model_version": None,
        "latency_ms": float(text["ms"]),
        "refusal_code": f"torchserve_{text['status']}",
    }


def _files(logs: Path, stack: ExitStack) -> list[tuple[str, BinaryIO]]:
    """Open the files of the log, oldest first by the time they begin with; again where one was rotated meanwhile."""
    for _ in range(OPENINGS):
        names = _names(logs)
        opened = []
        try:
            opened = [stack.enter_context((logs / name).open("rb")) for name in names]
        except FileNotFoundError:
            continue
        if names == _names(logs):
            heads = [(_head(file), file) for file in opened]
            return sorted(((head, file) for head, file in heads if head), key=lambda one: one[0])
    return []


def _names(logs: Path) -> dict[str, int]:
    """Return each file's inode by its name."""
    found = {}
    for path in logs.glob(FILES):
        try:
            found[path.name] = path.stat().st_ino
        except FileNotFoundError:
            continue
    return found


def _head(file: BinaryIO) -> str:
    """Return the time and thread of the first line, which no other file begins with; empty before there is one."""
    line, end, _ = file.read(HEAD_BYTES).partition(b"\n")
    return line.split(b" - ")[0].decode(errors="replace") if end or len(line) == HEAD_BYTES else ""


def _load(state: Path) -> Position:
    """Return the position; the beginning where there is none or it cannot be read, as rows come in once anyway."""
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
        return Position(head=str(known["head"]), offset=int(known["offset"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Position()
