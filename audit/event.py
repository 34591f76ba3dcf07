"""One event: its fields, the actions there are, and its canonical text and hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from audit.errors import UnfitDetailsError, UnknownActionError

LONGEST_DETAILS = 65_536
"""Characters of canonical JSON; a report belongs in a file, its digest here."""
FORBIDDEN_KEYS = frozenset(
    {"password", "secret", "secret_key", "token", "authorization", "patient_id", "patient_name", "birth_date"}
    | {"patientid", "patientname", "patientbirthdate"}
)


class Action(StrEnum):
    """What can be recorded."""

    DATASET_CREATED = "dataset.created"
    RUN_STARTED = "run.started"
    RUN_FINISHED = "run.finished"
    GATE_EVALUATED = "gate.evaluated"
    MODEL_REGISTERED = "model.registered"
    MODEL_APPROVED = "model.approved"
    APPROVAL_REFUSED = "approval.refused"
    RELEASE_STARTED = "release.started"
    RELEASE_SHIFTED = "release.shifted"
    RELEASE_COMPLETED = "release.completed"
    RELEASE_ROLLED_BACK = "release.rolled_back"
    PREDICTION_LOGGED = "prediction.logged"
    FEEDBACK_GIVEN = "feedback.given"
    ADVERSE_REPORTED = "adverse.reported"
    PERFORMANCE_FELL = "performance.fell"
    DRIFT_DETECTED = "drift.detected"
    RETRAIN_REQUESTED = "retrain.requested"
    RETRAIN_REFUSED = "retrain.refused"
    CONFIG_CHANGED = "config.changed"
    KEY_ROTATED = "key.rotated"
    ACCESS_DENIED = "access.denied"
    STACK_STARTED = "stack.started"
    STACK_STOPPED = "stack.stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEvent:
    """One record of the chain; `seq` counts from 1 without a gap."""

    seq: int
    time: str
    """UTC, ISO 8601 with microseconds."""
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)
    previous_hash: str
    hash: str = ""

    @property
    def text(self) -> str:
        """The canonical JSON that is hashed: every field but the hash."""
        fields = ("seq", "time", "actor", "action", "subject", "details", "previous_hash")
        return canonical({name: getattr(self, name) for name in fields})

    def to_json(self) -> dict[str, Any]:
        """Return every field, as contracts and exports show it."""
        return {**json.loads(self.text), "hash": self.hash}


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(text: str) -> str:
    """SHA-256 of the UTF-8 text; bytes that a tamperer made undecodable are hashed as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def utc_text(moment: datetime | None = None) -> str:
    """Return `moment` (now where absent) as the record writes time."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")


def checked_action(action: str) -> str:
    """Return `action` as text.

    Raises:
        UnknownActionError: for a name that is not in `Action`; the message lists those that are.
    """
    try:
        return Action(action).value
    except ValueError as error:
        names = ", ".join(known.value for known in Action)
        raise UnknownActionError(f"no audit action {action!r}; there are: {names}") from error


def checked_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return `details` as plain JSON values: paths as text, NumPy scalars as numbers, NaN and infinities as words.

    Raises:
        UnfitDetailsError: for a value that is no JSON, a key that names a secret or a patient, or too long a text.
    """
    plain: dict[str, Any] = _plain(dict(details), "details")
    try:
        text = canonical(plain)
        text.encode()
    except (TypeError, ValueError) as error:
        raise UnfitDetailsError(f"audit details are not JSON: {error}") from error
    if len(text) > LONGEST_DETAILS:
        raise UnfitDetailsError(f"audit details take {len(text)} characters, at most {LONGEST_DETAILS} are kept")
    return plain


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if str(key).lower() in FORBIDDEN_KEYS:
                raise UnfitDetailsError(f"audit details may not carry {key!r}: leave it out, or record a keyed hash")
        return {str(key): _plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [_plain(item, name) for item in items]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, PurePath | datetime):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        return _plain(value.item(), name)
    return value
