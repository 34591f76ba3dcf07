"""The ends of the servers' logs."""

from collections import deque
from pathlib import Path

from imaging.errors import NotFoundError
from thorax.stack.places import Places
from thorax.stack.servers import SERVERS


def log_files(places: Places) -> dict[str, Path]:
    """Return each log by name: one a server, TorchServe's own three, and the edge's latest day of requests."""
    files = {name: places.log(name) for name in SERVERS}
    inner = places.torchserve / "logs"
    files |= {f"torchserve/{path.stem}": path for path in sorted(inner.glob("*_log.log"))}
    days = sorted((places.edge / "logs").glob("requests-2*.jsonl"))
    return files | {f"edge/{path.stem}": path for path in days[-1:]}


def last_lines(home: Path, server: str, *, lines: int) -> dict[str, list[str]]:
    """Return the last `lines` lines of one server's logs, or of all where `server` is "".

    Raises:
        NotFoundError: there is no such server.
    """
    if server and server not in SERVERS:
        raise NotFoundError(f"no server {server!r}; there are: {', '.join(SERVERS)}")
    files = log_files(Places.of(home))
    wanted = {name: path for name, path in files.items() if not server or name.partition("/")[0] == server}
    return {name: _tail(path, lines) for name, path in wanted.items() if path.is_file()}


def _tail(path: Path, lines: int) -> list[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
