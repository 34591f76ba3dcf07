"""What people said of answers afterwards: labels, corrections and adverse results, kept and never changed.

SQLite, append-only by triggers as well as by code. A correction is a row of its own that names the one it corrects;
the same id with the same content is the same row, however often it is sent.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FILE = "feedback.sqlite"
BUSY_S = 10.0
Kind = Literal["feedback", "adverse"]
SCHEMA = """
CREATE TABLE IF NOT EXISTS said (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('feedback', 'adverse')),
    id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    received TEXT NOT NULL,
    client TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (kind, id)
) STRICT;
CREATE INDEX IF NOT EXISTS said_of_request ON said (request_id);
CREATE TRIGGER IF NOT EXISTS said_is_not_changed BEFORE UPDATE ON said
BEGIN SELECT RAISE(ABORT, 'what was said is not changed'); END;
CREATE TRIGGER IF NOT EXISTS said_is_not_deleted BEFORE DELETE ON said
BEGIN SELECT RAISE(ABORT, 'what was said is not deleted'); END;
CREATE TRIGGER IF NOT EXISTS said_is_not_replaced BEFORE INSERT ON said
WHEN EXISTS (SELECT 1 FROM said WHERE (kind = NEW.kind AND id = NEW.id) OR seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'what was said is not replaced'); END;
"""


class FeedbackConflictError(Exception):
    """The id was used before, for something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One row.

    Attributes:
        kind: What it is.
        id: The sender's own; one kind has each once.
        request_id: Of the answer it is about.
        received: UTC, ISO 8601.
        client: Which integration sent it.
        content: The fields of the request.
    """

    kind: Kind
    id: str
    request_id: str
    received: str
    client: str
    content: dict[str, Any]


class FeedbackStore:
    """The store of a home; cheap to make, safe with threads and processes."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made by the first row."""
        self.path = path

    @classmethod
    def of(cls, home: Path) -> "FeedbackStore":
        """Return the store of a home folder."""
        return cls(home / "feedback" / FILE)

    def find(self, kind: Kind, id: str) -> Said | None:  # noqa: A002  # what it is called everywhere
        """Return a row by its id; None where there is none."""
        return next(iter(self._read("WHERE kind = ? AND id = ?", (kind, id))), None)

    def add(self, row: Said) -> bool:
        """Keep a row; return whether it is new.

        Raises:
            FeedbackConflictError: its id was used before, for something else.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._open() as connection:
            connection.executescript(SCHEMA)
            content = json.dumps(row.content, sort_keys=True)
            given = (row.kind, row.id, row.request_id, row.received, row.client, content)
            try:
                with connection:
                    connection.execute(
                        "INSERT INTO said (kind, id, request_id, received, client, content) VALUES (?, ?, ?, ?, ?, ?)",
                        given,
                    )
            except sqlite3.IntegrityError as error:
                before = self.find(row.kind, row.id)
                if before is None or not is_same(before, row):
                    raise FeedbackConflictError(f"{row.kind} {row.id} was sent before, with other content") from error
                return False
        return True

    def rows(self, kind: Kind) -> list[Said]:
        """Return every row of a kind in the order it came."""
        return self._read("WHERE kind = ? ORDER BY seq", (kind,))

    def _read(self, where: str, given: tuple[str, ...]) -> list[Said]:
        if not self.path.exists():
            return []
        with self._open() as connection:
            connection.executescript(SCHEMA)
            columns = "kind, id, request_id, received, client, content"
            found = connection.execute(f"SELECT {columns} FROM said {where}", given).fetchall()  # noqa: S608  # fixed
        names = ("kind", "id", "request_id", "received", "client")
        return [Said(**dict(zip(names, row[:5], strict=True)), content=json.loads(row[5])) for row in found]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=BUSY_S)
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        finally:
            connection.close()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have writes go to a log of their own; SQLite does not wait by itself while others make the same change."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def is_same(one: Said, other: Said) -> bool:
    """Tell whether two rows say the same, whoever sent them and whenever."""
    return (one.kind, one.id, one.request_id, one.content) == (other.kind, other.id, other.request_id, other.content)
