"""Whether a chain of rows is whole, and which record is the first that is not."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audit.errors import DamagedLogError
from audit.event import AuditEvent, canonical, sha256_hex
from audit.keys import signature_holds
from audit.store import Row
from audit.witness import genesis_hash, head_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The answer of a check."""

    ok: bool
    checked: int
    """Records that hold, from the first on."""
    first_bad: int | None = None
    """`seq` of the first record that was changed, inserted, moved or is missing."""
    problem: str | None = None


def verify_rows(rows: Iterable[Row], public: bytes, heads: Mapping[int, str]) -> Verification:
    """Walk the chain from the genesis; `heads` maps witnessed records to their hashes.

    A gap, a changed field, a wrong link, a foreign signature, a hash other than the witnessed one, and an end before
    the last witnessed record each name the record where the chain first fails.
    """
    checked = 0
    previous = genesis_hash(public)
    try:
        for row in rows:
            expected = checked + 1
            problem = _problem(row, expected, previous, public) or _contradiction(row, heads)
            if problem:
                return Verification(ok=False, checked=checked, first_bad=expected, problem=problem)
            checked, previous = expected, row.hash
    except DamagedLogError as error:
        return Verification(ok=False, checked=checked, first_bad=checked + 1, problem=str(error))
    last = max(heads, default=0)
    if last > checked:
        problem = f"the tail is cut: record {checked + 1} is missing, {last} were witnessed"
        return Verification(ok=False, checked=checked, first_bad=checked + 1, problem=problem)
    return Verification(ok=True, checked=checked)


def event_of(row: Row) -> AuditEvent:
    """Return the event that a row holds."""
    return AuditEvent(
        seq=row.seq,
        time=row.time,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        details=json.loads(row.details),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def _problem(row: Row, expected: int, previous: str, public: bytes) -> str | None:
    if row.seq != expected:
        return f"record {expected} is missing: {row.seq} comes in its place"
    try:
        event = event_of(row)
        # Spaces or a doubled key would leave the parsed value, and so the hash, as it was.
        if canonical(event.details) != row.details or sha256_hex(event.text) != row.hash:
            return f"record {expected} was changed: its content does not give its hash"
    except (ValueError, TypeError):
        return f"record {expected} was changed: its details are no JSON"
    if row.previous_hash != previous:
        return f"record {expected} does not follow record {expected - 1}: it was inserted, moved or rewritten"
    if not signature_holds(public, row.signature, head_text(row.seq, row.hash)):
        return f"record {expected} is not signed with this log's key"
    return None


def _contradiction(row: Row, heads: Mapping[int, str]) -> str | None:
    if heads.get(row.seq, row.hash) != row.hash:
        return f"record {row.seq} is not the one that was witnessed: the log was rewritten"
    return None
