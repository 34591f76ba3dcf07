"""Requests that TorchServe turned away by itself: from its access log to rows of the prediction log.

The handler logs what reaches it. What does not (no valid token, no such version, no worker, a full queue) is told from
it by the thread that wrote the line: TorchServe answers such a request from the network's thread, and what the handler
answered from the thread of its worker, `W-…`. There, statuses that the handler never gives are a worker that died or
was too slow. The pattern of the lines is that of `thorax/stack/log4j2.xml`.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitoring.rotated_log import Lines, take_rows

NAME = "access_log"
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
COPY = re.compile(r"/predictions/chest-xray/\d+\?shadow=1")
"""A copy that the edge made for a version in shadow: no client's request. The edge lets no client's query get here."""


def take_turned_away(logs: Path, spool: Path, state: Path) -> int:
    """Append to the spool what TorchServe turned away since the last call; return how many rows.

    Args:
        logs: TorchServe's folder of logs.
        spool: Folder of the spool.
        state: JSON file that keeps the position.

    Raises:
        ServiceError: when the spool takes no rows; they are read again at the next call.
    """
    return take_rows(logs, NAME, parse_access_log, spool, state)


def parse_access_log(lines: Lines) -> Iterator[dict[str, Any]]:
    """Yield a row for each line of a request that TorchServe answered without the handler; no address, no query.

    Behind the edge all lines have one address, so that two requests of a moment differ by their place alone.
    """
    place = lines.begin
    for line in lines.data.split(b"\n"):
        at, place = place, place + len(line) + 1
        if found := LINE.fullmatch(line.rstrip(b"\r")):
            text = {name: (value or b"").decode(errors="replace") for name, value in found.groupdict().items()}
            path = text["target"].split("?")[0]
            if not COPY.fullmatch(text["target"]) and _is_turned_away(
                text["thread"], text["method"], path, int(text["status"])
            ):
                yield _row(text, path, f"{lines.head}@{at}")


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
