"""Whether a chain of rows is whole, and which record is the first that is not."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from audit.errors import DamagedLogError
from audit.event import Action, AuditEvent, canonical, sha256_hex
from audit.heads import Head, Heads, head_text
from audit.keys import KEY_BYTES, signature_holds
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
    checked, previous, last, signer = 0, genesis_hash(public), None, public
    try:
        for row in rows:
            expected = checked + 1
            head = heads.get(row.seq)
            doubted = head is None or head.signature != row.signature or expected % every == 0
            problem = _problem(row, expected, previous) or _contradiction(row, head)
            if problem or (doubted and (problem := _unsigned(row, public))):
                return Verification(ok=False, checked=checked, first_bad=expected, problem=problem)
            checked, previous, last, signer, public = expected, row.hash, row, public, key_after(row, public)
    except DamagedLogError as error:
        return Verification(ok=False, checked=checked, first_bad=checked + 1, problem=str(error))
    if last is not None and (problem := _unsigned(last, signer)):
        return Verification(ok=False, checked=checked - 1, first_bad=checked, problem=problem)
    if heads.last > checked:
        problem = f"the tail is cut: record {checked + 1} is missing, {heads.last} were witnessed"
        return Verification(ok=False, checked=checked, first_bad=checked + 1, problem=problem)
    return Verification(ok=True, checked=checked)


def key_after(row: Row, public: bytes) -> bytes:
    """Return whose signature the record after `row` carries: the key of before, unless `row` hands over to another.

    Raises:
        DamagedLogError: it hands over and names no key.
    """
    if row.action != Action.KEY_ROTATED:
        return public
    try:
        following = bytes.fromhex(json.loads(row.details)["public_key"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedLogError(f"record {row.seq} hands over to a key that it does not name") from error
    if len(following) != KEY_BYTES:
        raise DamagedLogError(f"record {row.seq} hands over to a key that it does not name")
    return following


def is_signed_by(row: Row, public: bytes) -> bool:
    """Tell whether the key with the half `public` may write the record after `row`."""
    if row.action == Action.KEY_ROTATED:
        return key_after(row, public) == public
    return signature_holds(public, row.signature, head_text(row.seq, row.hash))


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
