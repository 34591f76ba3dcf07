"""What a person tells the release controller besides an approval: wait, and go on."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from audit import AuditLog
from imaging.atomic import write_text
from imaging.config import Frozen
from imaging.errors import ConfigurationError, ServiceError

FILE = "paused.json"
SUBJECT = "release"


class Pause(Frozen):
    """No new release begins and no rollout goes on; a breach and a person's way back still take effect."""

    by: str
    time: str
    reason: str


def pause_of(folder: Path) -> Pause | None:
    """Return the pause of a release folder; None where there is none.

    Raises:
        ServiceError: the file is not ours.
    """
    try:
        return Pause.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ServiceError(f"{folder / FILE} says nothing of a pause; remove it, or pause again") from error


def pause(folder: Path, log: AuditLog, *, by: str, reason: str) -> Pause:
    """Let releases wait.

    Raises:
        ConfigurationError: no reason is given.
    """
    if not reason.strip():
        raise ConfigurationError("a pause needs a reason, which stays on the record")
    order = Pause(by=by, time=datetime.now(UTC).isoformat(timespec="seconds"), reason=reason.strip())
    log.append("config.changed", actor=by, subject=SUBJECT, details={"did": "paused", "reason": order.reason})
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, order.model_dump_json(indent=2) + "\n")
    return order


def resume(folder: Path, log: AuditLog, *, by: str, reason: str = "") -> bool:
    """Let releases go on; return whether they were waiting."""
    if not (folder / FILE).exists():
        return False
    log.append("config.changed", actor=by, subject=SUBJECT, details={"did": "resumed", "reason": reason.strip()})
    (folder / FILE).unlink(missing_ok=True)
    return True
