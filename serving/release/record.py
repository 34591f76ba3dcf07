"""The release controller's part of the audit record: each event once, and who approved what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import AuditLog
from serving.archive import MODEL_NAME
from serving.release.state import Pending

ACTOR = "controller"


@dataclass(frozen=True, slots=True)
class Approval:
    """The last approval of a version."""

    actor: str
    time: str


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """Appends to and asks the audit log."""

    log: AuditLog

    @classmethod
    def open(cls, folder: Path) -> "ReleaseRecord":
        """Raises nothing; the log is made by its first event."""
        return cls(AuditLog(folder))

    def once(self, pending: Pending, action: str, details: Mapping[str, Any]) -> None:
        """Append an event of this release, or of its step in `details`, unless an earlier life of this process did."""
        if not self.has(pending, action, details.get("step")):
            whole = {**details, "release": pending.release}
            self.log.append(action, actor=ACTOR, subject=subject_of(pending.version), details=whole)

    def has(self, pending: Pending, action: str, step: str | None = None) -> bool:
        """Tell whether this release's event is recorded; with `step`, that of one step."""
        events = self.log.events(action=action, subject=subject_of(pending.version))
        ours = [event for event in events if event.details.get("release") == pending.release]
        return any(step is None or event.details.get("step") == step for event in ours)

    def approval(self, version: str) -> Approval | None:
        """Return the last approval of a version by a person, where the registry recorded one."""
        events = self.log.events(action="model.approved", subject=subject_of(version))
        people = [event for event in events if event.actor != ACTOR]
        return Approval(people[-1].actor, people[-1].time) if people else None

    def gates_passed(self, digest: str) -> bool:
        """Tell whether the record holds gates for this package, the last answer of each being that it passed.

        A tag can be written by whoever may edit a version; the record cannot be written afterwards.
        """
        last = {
            str(event.details.get("gate")): event.details.get("passed")
            for event in self.log.events(action="gate.evaluated", subject=digest)
        }
        return bool(last) and all(passed is True for passed in last.values())


def subject_of(version: str) -> str:
    """`chest-xray/<version>`."""
    return f"{MODEL_NAME}/{version}"
