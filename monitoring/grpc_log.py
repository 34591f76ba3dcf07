"""gRPC calls that went to TorchServe around the edge and were refused: from the log of its HTTP/2 frames to rows.

TorchServe answers gRPC at a port of loopback, as it can at no socket, and says nothing of a call without a valid token.
Its transport tells of each frame it sends; `thorax/stack/log4j2.xml` keeps, of what did not come from the edge, the
trailers whose status is not OK and the broken-off streams, by connection, stream and number alone. The edge's own calls
are in the edge's log, and what the handler answered is sent with OK.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitoring.edge_log import GRPC_CODES
from monitoring.rotated_log import Lines, take_rows

NAME = "grpc_log"
LINE = re.compile(
    rb"(?P<time>(?P<day>\d{4}-\d\d-\d\d)T[\d:.]+Z) \S+ - (?P<call>0x[0-9a-f]{1,16} \d{1,5} \d{1,10}) "
    rb"(?P<status>\d{1,2}|reset)"
)
UNIMPLEMENTED = 12
"""A call that is no request for a prediction, nor for anything else that there is."""


def take_grpc_refusals(logs: Path, spool: Path, state: Path) -> int:
    """Append to the spool the refused calls since the last time; return how many rows.

    Args:
        logs: TorchServe's folder of logs.
        spool: Folder of the spool.
        state: JSON file that keeps the position.

    Raises:
        ServiceError: when the spool takes no rows; they are read again at the next call.
    """
    return take_rows(logs, NAME, parse_grpc_log, spool, state)


def parse_grpc_log(lines: Lines) -> Iterator[dict[str, Any]]:
    """Yield a row for each refused call; a call that was refused and then broken off has one id, as it is one request.

    Which call it was is not told: one for anything but a prediction, without a token, is a row too.
    """
    for line in lines.data.split(b"\n"):
        found = LINE.fullmatch(line.rstrip(b"\r"))
        if found is None or found["status"] == str(UNIMPLEMENTED).encode():
            continue
        yield {
            "time": found["time"].decode().replace("Z", "+00:00"),
            "request_id": "turned-away-" + hashlib.sha256(found["day"] + b" " + found["call"]).hexdigest()[:32],
            "model_version": None,
            "refusal_code": f"grpc_{_code(found['status'].decode())}",
        }


def _code(status: str) -> str:
    if status == "reset":
        return "resource_exhausted"
    return GRPC_CODES[int(status)] if int(status) < len(GRPC_CODES) else "unknown"
