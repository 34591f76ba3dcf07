"""What is done with a message: checked, recorded, kept, and where harm was done the model held; no protocol here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from audit import AuditLog, default_folder
from audit.feedback import FeedbackConflictError, FeedbackStore, Said, is_same
from imaging.errors import ThoraxError
from serving.feedback.messages import Adverse, Feedback
from serving.release.hold import hold, hold_of
from serving.release.overview import release_folder
from serving.release.state import load_state

HOLDS_AT: tuple[str, ...] = ("harm",)
"""Severities that hold the model by themselves."""


class ConflictError(ThoraxError):
    """The id was used before, for something else."""

    code = "conflict"


class UnknownLabelError(ThoraxError):
    """No class of the model that serves."""

    code = "unknown_label"


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes messages for one home. Recorded first, then kept, then acknowledged: a kill in between costs a repeat."""

    home: Path
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def take_feedback(self, given: Feedback, *, client: str) -> Literal["recorded", "known"]:
        """Keep a label.

        Raises:
            ConflictError: the id was used before, for something else.
            UnknownLabelError: no class of the model that serves.
        """
        classes = self._classes()
        if classes and given.label not in classes:
            raise UnknownLabelError(f"no class {given.label!r}; the model has: {', '.join(classes)}")
        content = given.model_dump(mode="json", exclude={"feedback_id", "request_id"}, exclude_none=True)
        row = self._row("feedback", given.feedback_id, given.request_id, client, content)
        details = {"feedback_id": row.id, **content}
        return self._keep(row, "feedback.given", details)

    def take_adverse(self, given: Adverse, *, client: str) -> tuple[Literal["recorded", "known"], bool]:
        """Keep an adverse result; return how, and whether the model is held now.

        Raises:
            ConflictError: the id was used before, for something else.
        """
        content = given.model_dump(mode="json", exclude={"report_id", "request_id"})
        row = self._row("adverse", given.report_id, given.request_id, client, content)
        details = {"report_id": row.id, **{name: value for name, value in content.items() if name != "description"}}
        done = self._keep(row, "adverse.reported", details)
        folder = release_folder(self.home)
        if done == "recorded" and given.severity in HOLDS_AT and hold_of(folder) is None:
            reason = f"adverse result {given.report_id}: {given.severity}, {given.category.replace('_', ' ')}"
            hold(folder, self._log(), by=client, reason=reason)
        return done, hold_of(folder) is not None

    def _keep(self, row: Said, action: str, details: dict[str, Any]) -> Literal["recorded", "known"]:
        store = FeedbackStore.of(self.home)
        before = store.find(row.kind, row.id)
        if before is not None:
            if not is_same(before, row):
                raise ConflictError(f"{row.kind} {row.id} was sent before, with other content; use a new id")
            return "known"
        self._log().append(action, actor=row.client, subject=f"request/{row.request_id}", details=details)
        try:
            return "recorded" if store.add(row) else "known"
        except FeedbackConflictError as error:
            raise ConflictError(str(error)) from error

    def _row(
        self, kind: Literal["feedback", "adverse"], own_id: str, request_id: str, client: str, content: dict[str, Any]
    ) -> Said:
        received = self.clock().isoformat(timespec="milliseconds")
        return Said(kind=kind, id=own_id, request_id=request_id, received=received, client=client, content=content)

    def _classes(self) -> tuple[str, ...]:
        """Return the classes of the model that serves; none where none does, or its package cannot be read."""
        folder = release_folder(self.home)
        serving = load_state(folder).serving
        if serving is None:
            return ()
        package = folder / "packages" / serving.archive.removesuffix(".mar")
        try:
            description = json.loads((package / "model.json").read_text(encoding="utf-8"))
            return tuple(map(str, description["classes"]))
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    def _log(self) -> AuditLog:
        return AuditLog(default_folder(self.home))
