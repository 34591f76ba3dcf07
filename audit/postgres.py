"""The record's table in PostgreSQL, for a cluster: `THORAX_AUDIT_DATABASE=postgresql://writer:…@host/audit`.

Its owner makes it once, by the SQL that `thorax audit schema` prints; the writers may insert and select and nothing
else, and the table's own rules hold against its owner too. An advisory lock lets one writer in at a time; should one
come past it, the primary key and the rules refuse a fork. Psycopg is imported where it is used.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from audit.errors import AuditError, BusyError, DamagedLogError
from audit.store import BUSY_TIMEOUT_S, COLUMNS, Row

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 10
LOCK = 0x7468_6F72_6178  # "thorax"
FETCHED_AT_ONCE = 2000
TABLE = """
CREATE TABLE IF NOT EXISTS events (
    seq BIGINT PRIMARY KEY, time TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
    details TEXT NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL
);
"""
NEVER = "\nBEGIN\n    RAISE EXCEPTION 'the audit record is append-only';\nEND\n"
FOLLOW = """
DECLARE
    last events%ROWTYPE;
BEGIN
    SELECT * INTO last FROM events ORDER BY seq DESC LIMIT 1;
    IF NEW.seq <> COALESCE(last.seq, 0) + 1 OR (last.seq IS NOT NULL AND last.hash <> NEW.previous_hash) THEN
        RAISE EXCEPTION 'the audit record only grows at its end';
    END IF;
    RETURN NEW;
END
"""
RULES = {
    "events_never_change": ("UPDATE OR DELETE", "ROW", NEVER),
    "events_never_leave": ("TRUNCATE", "STATEMENT", NEVER),
    "events_only_follow": ("INSERT", "ROW", FOLLOW),
}
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
FIND_RULES = """
SELECT t.tgname, t.tgenabled, p.prosrc, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = 'events'::regclass AND NOT t.tgisinternal
"""


def schema(writers: tuple[str, ...] = ()) -> str:
    """Return the SQL that makes table, rules and the writers' rights; running it again changes nothing.

    Raises:
        DamagedLogError: for a role's name that is not plain lower case.
    """
    for name in writers:
        if not NAME.fullmatch(name):
            raise DamagedLogError(f"{name!r} is no role's name: lower-case letters, digits and _")
    parts = ["BEGIN;", TABLE.strip(), "REVOKE ALL ON events FROM PUBLIC;"]
    for name, (when, each, body) in RULES.items():
        parts.append(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $rule${body}$rule$;")
        parts.append(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {when} ON events FOR EACH {each} EXECUTE FUNCTION {name}();"
        )
        parts.append(f"ALTER TABLE events ENABLE ALWAYS TRIGGER {name};")
    parts += [f"GRANT SELECT, INSERT ON events TO {name};" for name in writers]
    return "\n".join([*parts, "COMMIT;"]) + "\n"


class PostgresStore:
    """Rows in, rows out, as `audit.store.EventStore`."""

    def __init__(self, address: str) -> None:
        """Name the database; its password is never part of a message."""
        self._address = address

    def is_new(self) -> bool:
        """Tell whether it holds no record yet."""
        with self._connection() as connection:
            return connection.execute("SELECT 1 FROM events LIMIT 1").fetchone() is None

    def exists(self) -> bool:
        """Tell whether there is a table; a database that does not answer is an error."""
        with self._connection() as connection:
            return _has_table(connection)

    def append(self, build: Callable[[Row | None], Row]) -> Row:
        """Add the row that `build` makes from the last one, alone among all writers; durable when this returns.

        Raises:
            BusyError: when other writers hold the lock for a minute, or the database does not answer.
            DamagedLogError: when it has no such table, or refuses the row.
        """
        with self._connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            found = connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608
            row = build(Row(*found) if found else None)
            connection.execute(f"INSERT INTO events ({COLUMNS}) VALUES (%s{', %s' * 8})", tuple(row))  # noqa: S608
        return row

    def rows(self, where: str = "", parameters: tuple[Any, ...] = ()) -> Iterator[Row]:
        """Yield rows by `seq`; `where` is this package's own text, values come in `parameters` for each `?`."""
        with self._connection() as connection:
            if not _has_table(connection):
                return
            with connection.cursor(name="audit") as cursor:
                cursor.itersize = FETCHED_AT_ONCE
                cursor.execute(f"SELECT {COLUMNS} FROM events {where.replace('?', '%s')}", parameters)  # type: ignore[arg-type]  # noqa: S608
                for found in cursor:
                    yield Row(*found)

    def missing_triggers(self) -> list[str]:
        """Name the append-only rules that the database no longer has as they were written."""
        with self._connection() as connection:
            if not _has_table(connection):
                return []
            found = {name: (state, body, text) for name, state, body, text in connection.execute(FIND_RULES)}
        return sorted(name for name in RULES if not _is_as_written(name, found.get(name)))

    @contextlib.contextmanager
    def _connection(self) -> "Iterator[psycopg.Connection[Any]]":
        import psycopg

        limit = int(BUSY_TIMEOUT_S * 1000)
        options = f"-c lock_timeout={limit} -c idle_in_transaction_session_timeout={limit} -c synchronous_commit=on"
        try:
            with psycopg.connect(
                self._address, connect_timeout=CONNECT_TIMEOUT_S, options=options, application_name="thorax-audit"
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise _coded(error) from error


def _has_table(connection: "psycopg.Connection[Any]") -> bool:
    found = connection.execute("SELECT to_regclass('events')").fetchone()
    return bool(found and found[0])


def _is_as_written(name: str, found: tuple[str, str, str] | None) -> bool:
    if found is None:
        return False
    state, body, text = found
    when, each, written = RULES[name]
    events = set(re.findall(r"INSERT|UPDATE|DELETE|TRUNCATE", text.partition(" ON ")[0]))
    fits = " BEFORE " in text and f"FOR EACH {each}" in text and " WHEN " not in text
    return state == "A" and body == written and events == set(when.split(" OR ")) and fits


def _coded(error: "psycopg.Error") -> AuditError:
    import psycopg

    if isinstance(error, psycopg.errors.LockNotAvailable):
        return BusyError(f"the audit database stayed locked for {BUSY_TIMEOUT_S:.0f} s")
    if isinstance(error, psycopg.errors.UndefinedTable):
        return DamagedLogError(
            "the audit database has no table `events`: its owner runs what `thorax audit schema` prints"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return DamagedLogError("this login may not write the audit record: see `thorax audit schema --writer NAME`")
    said = error.diag.message_primary or type(error).__name__  # a failed connection's own text names host and user
    if isinstance(error, psycopg.OperationalError):
        return BusyError(
            f"the audit database does not answer ({said}): is it up, and THORAX_AUDIT_DATABASE its address?"
        )
    return DamagedLogError(f"the audit database cannot be used: {said}")
