"""`AuditLog`: append, read, verify, export; and `record`, which appends to the default log."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from audit.errors import AuditError, DamagedLogError
from audit.event import AuditEvent, canonical, checked_action, checked_details, sha256_hex, utc_text
from audit.heads import head_text
from audit.keys import kept, load_or_create_key, public_bytes
from audit.store import EventStore, Row, Store, private_folder
from audit.verification import SOME, Verification, event_of, verify_rows
from audit.witness import SecondPlace, genesis_hash, second_place

DATABASE_NAME = "audit.db"
CLOCK = "clock_went_back_s"
"""In the details of an event that was recorded at an earlier time than the one before it: by how many seconds."""


class AuditLog:
    """One log: a folder with the signing key and the database, and a witness beside it or elsewhere.

    Where a PostgreSQL is named, the events are there and not in the folder. Safe
    with any number of processes and threads, each with its own object or sharing one.
    """

    def __init__(self, path: Path, *, witness: str | Path | None = None, database: str = "") -> None:
        """Name the log; nothing is written before the first append.

        Args:
            path: Folder of `audit.db` and `signing.key`.
            witness: Folder or `s3://bucket/prefix` of the signed heads; else `THORAX_AUDIT_WITNESS`, else
                `<path>-witness`.
            database: `postgresql://…` instead of `audit.db`; else `THORAX_AUDIT_DATABASE`, else what the folder's file
                `database` says.
        """
        self.path = path
        named = os.environ.get("THORAX_AUDIT_WITNESS")
        self.witness: SecondPlace = second_place(witness or named or path.with_name(f"{path.name}-witness"), path)
        address = database or os.environ.get("THORAX_AUDIT_DATABASE") or kept(path, "database")
        self._store = _store(path, address)
        self._in_folder = not address

    def append(self, action: str, *, actor: str, subject: str, details: Mapping[str, Any] | None = None) -> AuditEvent:
        """Add one event; it is on the disk, signed and witnessed when this returns.

        Args:
            action: One of `Action`.
            actor: Who did it: a user of the registry or a workload's name.
            subject: What it was done to: a digest, a version, a run.
            details: Figures and reasons, as JSON; no secret and nothing of a patient.

        Raises:
            AuditError: for an unknown action, unfit details, a busy or damaged log.
        """
        action, plain = checked_action(action), checked_details(details or {})
        if self._in_folder:
            private_folder(self.path)
        is_new = self._store.is_new()
        key = load_or_create_key(self.path, self.witness, is_new=is_new)
        public = public_bytes(key)
        self.witness.begin(key, is_new=is_new)

        def build(last: Row | None) -> Row:
            now = utc_text()
            told = plain | went_back(now, last.time) if last else plain
            event = AuditEvent(
                seq=last.seq + 1 if last else 1,
                time=now,
                actor=actor,
                action=action,
                subject=subject,
                details=told,
                previous_hash=last.hash if last else genesis_hash(public),
            )
            digest = sha256_hex(event.text)
            signature = key.sign(head_text(event.seq, digest).encode()).hex()
            values = (event.seq, event.time, actor, action, subject, canonical(told), event.previous_hash)
            return Row(*values, digest, signature)

        row = self._store.append(build)
        self.witness.add(row.seq, row.hash, row.signature)
        return event_of(row)

    def events(
        self,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        after: int | None = None,
    ) -> list[AuditEvent]:
        """Return events past number `after`, oldest first; with `limit`, the newest that many. It verifies nothing."""
        moment = utc_text(since) if since else None
        asked = {"action = ?": action, "subject = ?": subject, "time >= ?": moment, "seq > ?": after}
        conditions = {text: value for text, value in asked.items() if value is not None}
        where = ("WHERE " + " AND ".join(conditions)) if conditions else ""
        order = "ORDER BY seq DESC" + ("" if limit is None else f" LIMIT {max(0, int(limit))}")
        rows = list(self._store.rows(f"{where} {order}", tuple(conditions.values())))
        return [_readable(row) for row in reversed(rows)]

    def verify(self, *, every_signature: bool = False) -> Verification:
        """Prove that no record was changed, inserted, moved, removed or cut off, or name the first that was.

        Every hash is computed and every signature compared with the witness's copy. Against the key are verified the
        last one, which vouches for the whole chain, each hundredth, and those without an equal copy; with
        `every_signature`, and to name what is wrong once something is, all of them.
        """
        try:
            public = self.witness.public_key()
            if public is None and not self._store.exists():
                return Verification(ok=True, checked=0)
            if public is None:
                return Verification(ok=False, checked=0, problem=f"there is no public key in {self.witness.place}")
            found = self._verify(public, every=1 if every_signature else SOME)
            return found if found.ok or every_signature else self._verify(public, every=1)
        except AuditError as error:
            return Verification(ok=False, checked=0, problem=str(error))

    def _verify(self, public: bytes, *, every: int) -> Verification:
        heads = self.witness.read(public, check_all=every == 1)
        found = verify_rows(self._store.rows("ORDER BY seq"), public, heads, every=every)
        missing = self._store.missing_triggers()
        if found.ok and heads.problem:
            return Verification(ok=False, checked=found.checked, problem=heads.problem)
        if found.ok and missing:
            problem = f"the database lost its append-only rules: {', '.join(missing)}"
            return Verification(ok=False, checked=found.checked, problem=problem)
        return found

    def export(self, path: Path) -> Path:
        """Write a self-verifying copy to `path` (a page where it ends in .html, else JSON lines) and return it."""
        from audit.export import write_export

        key = load_or_create_key(self.path, self.witness, is_new=False)
        write_export(path, self._store.rows("ORDER BY seq"), key, self.witness)
        return path


def _store(path: Path, address: str) -> Store:
    if not address:
        return EventStore(path / DATABASE_NAME)
    from audit.postgres import PostgresStore

    return PostgresStore(address)


def went_back(now: str, before: str) -> dict[str, float]:
    """Return what an event says where the clock stands before the last record's time; nothing where it does not."""
    back = (datetime.fromisoformat(before) - datetime.fromisoformat(now)).total_seconds()
    return {CLOCK: back} if back > 0 else {}


def default_folder(home: Path | None = None) -> Path:
    """`THORAX_AUDIT`, else `audit` in `home`, which is `THORAX_HOME` (`.thorax` where unset) if not given."""
    named = os.environ.get("THORAX_AUDIT")
    return Path(named) if named else (home or Path(os.environ.get("THORAX_HOME") or ".thorax")) / "audit"


def record(
    action: str, *, subject: str, details: Mapping[str, Any] | None = None, actor: str | None = None
) -> AuditEvent:
    """Append to the default log; `actor` is `THORAX_ACTOR` where absent, else `system`."""
    who = actor or os.environ.get("THORAX_ACTOR") or "system"
    return AuditLog(default_folder()).append(action, actor=who, subject=subject, details=details)


def _readable(row: Row) -> AuditEvent:
    try:
        return event_of(row)
    except ValueError as error:
        raise DamagedLogError(f"record {row.seq} has details that are no JSON: run `thorax audit verify`") from error
