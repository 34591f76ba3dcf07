"""`AuditLog`: append, read, verify, export; and `record`, which appends to the default log."""

import contextlib
import os
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import DamagedLogError, ForeignWitnessError
from audit.event import Action, AuditEvent, canonical, checked_action, checked_details, sha256_hex, utc_text
from audit.heads import head_text
from audit.keys import fingerprint, kept, load_or_create_key, public_bytes, public_of, successor, take_over
from audit.store import EventStore, Row, Store, private_folder
from audit.verification import SOME, Verification, event_of, is_signed_by, key_after, verify_rows
from audit.witness import SecondPlace, genesis_hash, second_place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
        self._check_first(key, is_new=is_new)
        self.witness.begin(key, is_new=is_new)
        build = partial(_build, action=action, actor=actor, subject=subject, details=plain)
        try:
            row = self._store.append(partial(build, key))
        except _OtherKeyError as error:  # it was rotated meanwhile, maybe by a process that was killed before it ended
            take_over(self.path, error.successor)
            key = load_or_create_key(self.path, self.witness, is_new=False)
            try:
                row = self._store.append(partial(build, key))
            except _OtherKeyError:
                raise ForeignWitnessError(
                    f"the key in {self.path} is not the one that signed the log's last record: put that key back"
                ) from None
        self.witness.add(row.seq, row.hash, row.signature)
        return event_of(row)

    def rotate_key(self, *, actor: str, following: Path | None = None) -> AuditEvent:
        """Hand over to another key: the old one signs which; from the next event on the other one signs.

        Args:
            actor: Who does it.
            following: A file with the other key, where the folder is a mounted secret: whoever manages that puts it
                there next. Else one is made, and takes the old one's place.

        Raises:
            AuditError: as `append`; the old key then goes on.
        """
        public = public_of(following) if following else successor(self.path)
        told = {"public_key": public.hex(), "fingerprint": fingerprint(public)}
        event = self.append(Action.KEY_ROTATED, actor=actor, subject="audit key", details=told)
        if following is None:
            take_over(self.path, public)
        return event

    def _check_first(self, key: "Ed25519PrivateKey", *, is_new: bool) -> None:
        """A log whose key was rotated still begins with the one that its witness knows."""
        known = self.witness.public_key()
        if is_new or known is None or known == public_bytes(key):
            return
        first = next(self._store.rows("WHERE seq = 1"), None)
        if first is None or first.previous_hash != genesis_hash(known):
            raise ForeignWitnessError(
                f"{self.witness.place} witnesses a log with another key: name this log's own place in "
                "THORAX_AUDIT_WITNESS"
            )

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

        Raises:
            AuditError: the database or the witness's bucket does not answer, which says nothing about the record.
        """
        try:
            public = self.witness.public_key()
            if public is None and not self._store.exists():
                return Verification(ok=True, checked=0)
            if public is None:
                return Verification(ok=False, checked=0, problem=f"there is no public key in {self.witness.place}")
            found = self._verify(public, every=1 if every_signature else SOME)
            return found if found.ok or every_signature else self._verify(public, every=1)
        except (DamagedLogError, ForeignWitnessError) as error:
            return Verification(ok=False, checked=0, problem=str(error))

    def _verify(self, public: bytes, *, every: int) -> Verification:
        heads = self.witness.read(self._keys(public) if every == 1 else None)
        found = verify_rows(self._store.rows("ORDER BY seq"), public, heads, every=every)
        missing = self._store.missing_triggers()
        if found.ok and heads.problem:
            return Verification(ok=False, checked=found.checked, problem=heads.problem)
        if found.ok and missing:
            problem = f"the database lost its append-only rules: {', '.join(missing)}"
            return Verification(ok=False, checked=found.checked, problem=problem)
        return found

    def _keys(self, public: bytes) -> list[bytes]:
        """Return the first key and those that the record hands over to; the chain says whether it truly does."""
        keys = [public]
        for row in self._store.rows("WHERE action = ? ORDER BY seq", (Action.KEY_ROTATED.value,)):
            with contextlib.suppress(DamagedLogError):  # the walk names it
                keys.append(key_after(row, public))
        return keys

    def export(self, path: Path) -> Path:
        """Write a self-verifying copy to `path` (a page where it ends in .html, else JSON lines) and return it."""
        from audit.export import write_export

        key = load_or_create_key(self.path, self.witness, is_new=False)
        last = next(self._store.rows("ORDER BY seq DESC LIMIT 1"), None)
        if last is not None and not is_signed_by(last, public_bytes(key)):
            take_over(self.path, key_after(last, b""))
            key = load_or_create_key(self.path, self.witness, is_new=False)
        write_export(path, self._store.rows("ORDER BY seq"), key, self.witness)
        return path


def _store(path: Path, address: str) -> Store:
    if not address:
        return EventStore(path / DATABASE_NAME)
    from audit.postgres import PostgresStore

    return PostgresStore(address)


class _OtherKeyError(Exception):
    """The last record is not of our key; it may hand over to `successor`."""

    def __init__(self, successor: bytes) -> None:
        self.successor = successor


def _build(
    key: "Ed25519PrivateKey", last: Row | None, *, action: str, actor: str, subject: str, details: dict[str, Any]
) -> Row:
    """Return the record that follows the last one."""
    public = public_bytes(key)
    if last is not None and not is_signed_by(last, public):
        raise _OtherKeyError(key_after(last, b""))
    now = utc_text()
    told = details | went_back(now, last.time) if last else details
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
    values = (event.seq, event.time, event.actor, event.action, event.subject, canonical(told), event.previous_hash)
    return Row(*values, digest, signature)


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
