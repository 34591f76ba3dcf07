"""Whether a chain of rows is whole, and which record is the first that is not."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from audit.errors import DamagedLogError
from audit.event import AuditEvent, canonical, sha256_hex
from audit.heads import Head, Heads, head_text
from audit.keys import signature_holds
from audit.store import Row
from audit.witness import genesis_hash

SOME = 100
"""Of how many signatures one is verified against the key, where all equal the witness's copies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The answer of a check."""

    ok: bool
    checked: int
    """Records that hold, from the first on."""
    first_bad: int | None = None
    """`seq` of the first record that was changed, inserted, moved or is missing."""
    problem: str | None = None


def verify_rows(rows: Iterable[Row], public: bytes, heads: Heads, *, every: int = 1) -> Verification:
    """Walk the chain from the genesis, beside the heads that were witnessed.

    A gap, a changed field, a wrong link, a foreign signature, a hash or signature other than the witnessed one, and an
    end before the last witnessed record each name the record where the chain first fails. Signatures that equal the
    witness's are verified at each `every`-th record and at the last.
    """
    checked, previous, last = 0, genesis_hash(public), None
    try:
        for row in rows:
            expected = checked + 1
            head = heads.get(row.seq)
            doubted = head is None or head.signature != row.signature or expected % every == 0
            problem = _problem(row, expected, previous) or _contradiction(row, head)
            if problem or (doubted and (problem := _unsigned(row, public))):
                return Verification(ok=False, checked=checked, first_bad=expected, problem=problem)
            checked, previous, last = expected, row.hash, row
    except DamagedLogError as error:
        return Verification(ok=False, checked=checked, first_bad=checked + 1, problem=str(error))
    if last is not None and (problem := _unsigned(last, public)):
        return Verification(ok=False, checked=checked - 1, first_bad=checked, problem=problem)
    if heads.last > checked:
        problem = f"the tail is cut: record {checked + 1} is missing, {heads.last} were witnessed"
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


def _problem(row: Row, expected: int, previous: str) -> str | None:
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
    return None


def _unsigned(row: Row, public: bytes) -> str | None:
    if not signature_holds(public, row.signature, head_text(row.seq, row.hash)):
        return f"record {row.seq} is not signed with this log's key"
    return None


def _contradiction(row: Row, head: Head | None) -> str | None:
    if head is not None and head.hash != row.hash:
        return f"record {row.seq} is not the one that was witnessed: the log was rewritten"
    return None
