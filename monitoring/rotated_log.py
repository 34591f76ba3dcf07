"""Logs that TorchServe rotates by renaming: each line read once, across renames and kills, into the prediction log."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from audit.predictions import PredictionSpool
from imaging.atomic import write_text
from imaging.errors import ServiceError

HEAD_BYTES = 512
OPENINGS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Whole lines of a log, and where they are: in the file that begins with `head`, from byte `begin` on."""

    data: bytes
    head: str
    begin: int


Parse = Callable[[Lines], Iterator[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """How far a log has been read: in the file that begins with `head`. Rotation renames files only."""

    head: str = ""
    offset: int = 0


def take_rows(logs: Path, name: str, parse: Parse, spool: Path, state: Path) -> int:
    """Append to the spool what `parse` makes of the lines since the last call; return how many rows.

    Safe to kill where a row's id is made from its line, so that a line read twice is one request.

    Args:
        logs: Folder of the logs.
        name: The log's: `<name>.log` and what it was renamed to, `<name>.<number>.log`.
        parse: From lines to rows.
        spool: Folder of the spool.
        state: JSON file that keeps the position.

    Raises:
        ServiceError: when the spool takes no rows; they are read again at the next call.
    """
    position, rows = _load(state), 0
    writer = PredictionSpool(spool)
    try:
        with ExitStack() as files:
            for head, file in _files(logs, f"{name}*.log", files):
                if head < position.head:
                    continue
                begin = position.offset if head == position.head else 0
                file.seek(begin)
                data = file.read()
                end = data.rfind(b"\n") + 1
                for row in parse(Lines(data=data[:end], head=head, begin=begin)):
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


def _files(logs: Path, pattern: str, stack: ExitStack) -> list[tuple[str, BinaryIO]]:
    """Open the files of the log, oldest first by the time they begin with; again where one was rotated meanwhile."""
    for _ in range(OPENINGS):
        names = _names(logs, pattern)
        opened = []
        try:
            opened = [stack.enter_context((logs / name).open("rb")) for name in names]
        except FileNotFoundError:
            continue
        if names == _names(logs, pattern):
            heads = [(_head(file), file) for file in opened]
            return sorted(((head, file) for head, file in heads if head), key=lambda one: one[0])
    return []


def _names(logs: Path, pattern: str) -> dict[str, int]:
    """Return each file's inode by its name."""
    found = {}
    for path in logs.glob(pattern):
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
