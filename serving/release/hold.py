"""The hold: every answer is referred to a radiologist until an approver lifts it; the model goes on answering.

A file in the release folder, which each worker looks at with each batch: it works within a second, needs no release and
no restart, and outlives one. Whoever may report harm may hold; only an approver lifts.
"""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from audit import AuditLog
from imaging.atomic import write_text
from imaging.config import Frozen
from imaging.errors import ConfigurationError

FILE = "hold.json"
SUBJECT = "release"
REASON = "on_hold"
"""The reason of the triage while the model is held."""


class Hold(Frozen):
    """Who held the model, when and why."""

    by: str
    time: str
    reason: str


UNREADABLE = Hold(by="", time="", reason="the hold cannot be read")


def hold_of(folder: Path) -> Hold | None:
    """Return the hold of a release folder; None where there is none. One that cannot be read holds."""
    try:
        return Hold.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        return UNREADABLE


def hold(folder: Path, log: AuditLog, *, by: str, reason: str) -> Hold:
    """Refer everything from now on. The hold works before it is recorded: it may only make the model safer.

    Raises:
        ConfigurationError: no reason is given.
    """
    if not reason.strip():
        raise ConfigurationError("a hold needs a reason, which stays on the record")
    order = Hold(by=by, time=datetime.now(UTC).isoformat(timespec="seconds"), reason=reason.strip())
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, order.model_dump_json(indent=2) + "\n")
    log.append("config.changed", actor=by, subject=SUBJECT, details={"did": "held", "reason": order.reason})
    return order


def lift(folder: Path, log: AuditLog, *, by: str, reason: str) -> bool:
    """Let answers be reported again; return whether there was a hold. Recorded before it works.

    Raises:
        ConfigurationError: no reason is given.
    """
    if not reason.strip():
        raise ConfigurationError("lifting a hold needs a reason, which stays on the record")
    if not (folder / FILE).exists():
        return False
    log.append("config.changed", actor=by, subject=SUBJECT, details={"did": "lifted", "reason": reason.strip()})
    (folder / FILE).unlink(missing_ok=True)
    return True
