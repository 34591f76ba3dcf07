"""The SQLite file under the record: one strict table that only grows.

The database itself refuses an update, a delete, a gap, a fork and a replace; `BEGIN IMMEDIATE` lets one writer in
at a time. A connection lives for one call, so forks and threads share none.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from audit.errors import AuditError, BusyError, DamagedLogError

BUSY_TIMEOUT_S = 60.0
SCHEMA_VERSION = 1
COLUMNS = "seq, time, actor, action, subject, details, previous_hash, hash, signature"
TABLE = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, time TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
    details TEXT NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL
) STRICT
"""
TRIGGERS = {
    "events_never_change": "CREATE TRIGGER events_never_change BEFORE UPDATE ON events "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "events_never_leave": "CREATE TRIGGER events_never_leave BEFORE DELETE ON events "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "events_only_follow": "CREATE TRIGGER events_only_follow BEFORE INSERT ON events "
    "WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) + 1 FROM events) "
    "OR EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq - 1 AND hash <> NEW.previous_hash) "
    "BEGIN SELECT RAISE(ABORT, 'the audit record only grows at its end'); END",
}


class Row(NamedTuple):
    """One record as it lies in the table."""

    seq: int
    time: str
    actor: str
    action: str
    subject: str
    details: str
    """Canonical JSON."""
    previous_hash: str
    hash: str
    signature: str
    """Ed25519 over `audit.witness.head_text(seq, hash)`, hexadecimal."""


class Store(Protocol):
    """What keeps the rows: SQLite here, PostgreSQL in `audit/postgres.py`."""

    def is_new(self) -> bool:
        """Tell whether it holds no record yet."""

    def exists(self) -> bool:
        """Tell whether there is something to verify."""

    def append(self, build: Callable[[Row | None], Row]) -> Row:
        """Add the row that `build` makes from the last one, alone among all writers; durable when this returns."""

    def rows(self, where: str = "", parameters: tuple[Any, ...] = ()) -> Iterator[Row]:
        """Yield rows by `seq`; `where` is this package's own text, values come in `parameters` for each `?`."""

    def missing_triggers(self) -> list[str]:
        """Name the append-only rules that the database no longer has as they were written."""


class EventStore:
    """Rows in, rows out."""

    def __init__(self, path: Path) -> None:
        """Name the database; it is made by the first append."""
        self.path = path

    def is_new(self) -> bool:
        """Tell whether there is no database yet."""
        return not self.path.exists()

    def exists(self) -> bool:
        """Tell whether there is a database."""
        return self.path.exists()

    def append(self, build: Callable[[Row | None], Row]) -> Row:
        """Add the row that `build` makes from the last one, alone among all processes; durable when this returns.

        Raises:
            BusyError: when other writers hold the database for a minute.
            DamagedLogError: when the file is no such database.
        """
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _ensure_schema(connection)
                row = build(_last(connection))
                connection.execute(f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
                connection.execute("COMMIT")
            except BaseException:  # Ctrl-C too must not leave the database locked for other writers
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return row

    def rows(self, where: str = "", parameters: tuple[Any, ...] = ()) -> Iterator[Row]:
        """Yield rows by `seq`; `where` is this package's own text, values come in `parameters`."""
        if not self.path.exists():
            return
        with self._connection() as connection:
            if not _has_table(connection):
                return
            for found in connection.execute(f"SELECT {COLUMNS} FROM events {where}", parameters):  # noqa: S608
                yield Row(*found)

    def missing_triggers(self) -> list[str]:
        """Name the append-only rules that the database no longer has as they were written."""
        if not self.path.exists():
            return []
        with self._connection() as connection:
            if not _has_table(connection):
                return []
            kept = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
        return sorted(name for name, sql in TRIGGERS.items() if kept.get(name) != sql)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise DamagedLogError(f"cannot open the audit database: {error}") from error
        try:
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        except sqlite3.Error as error:
            raise _coded(error) from error
        finally:
            connection.close()


def _ensure_schema(connection: sqlite3.Connection) -> None:
    """Make table and rules once; rules that were dropped later are evidence and are not put back."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version:
        raise DamagedLogError(f"the audit database has schema {version}, this release reads {SCHEMA_VERSION}")
    connection.execute(TABLE)
    for trigger in TRIGGERS.values():
        connection.execute(trigger)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _last(connection: sqlite3.Connection) -> Row | None:
    found = connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608
    return Row(*found) if found else None


def _has_table(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'").fetchone()
    return found is not None


def _coded(error: sqlite3.Error) -> AuditError:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return BusyError(f"the audit database stayed locked for {BUSY_TIMEOUT_S:.0f} s: {error}")
    return DamagedLogError(f"the audit database cannot be used: {error}")


def private_folder(path: Path) -> None:
    """Make `path`, readable by its owner alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(path, os.W_OK):
        raise DamagedLogError("the audit folder cannot be written")
