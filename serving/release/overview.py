"""Where a release stands, and what was released before: for a person, from the state and the record."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audit import AuditEvent, AuditLog
from imaging.errors import NotFoundError
from imaging.settings import Settings
from serving.release.comparison import Comparison, compare
from serving.release.evidence import Evidence, breach, read_rows, weigh
from serving.release.hold import hold_of
from serving.release.orders import pause_of
from serving.release.state import Pending, ReleaseState, Served, load_state

ACTIONS = (
    *("model.approved", "approval.refused", "release.started", "release.shifted"),
    *("release.completed", "release.rolled_back"),
)
ORDERS = ("config.changed", "release")
"""Pauses: action and subject."""
A_DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where things stand."""

    serving: str | None
    previous: str | None
    """Loaded, for the way back; None where there is none."""
    may_return: bool
    """Whether the way back takes no rollout."""
    paused: str = ""
    """By whom and why."""
    held: str = ""
    """By whom and why every answer is referred."""
    version: str | None = None
    """That is taking over."""
    step: str = ""
    steps: tuple[str, ...] = ()
    seconds: float = 0.0
    """That the step has lasted, of `of_seconds`."""
    of_seconds: float = 0.0
    of_requests: int = 0
    evidence: Evidence | None = None
    breach: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a document."""
        names = ("serving", "previous", "may_return", "paused", "held", "version", "step", "seconds", "of_seconds")
        document: dict[str, Any] = {name: getattr(self, name) for name in (*names, "of_requests", "breach")}
        return document | {"steps": list(self.steps), "evidence": self.evidence and self.evidence.summary()}


def standing(settings: Settings) -> Standing:
    """Return where things stand now."""
    folder = settings.home / "release"
    state, pause, hold = load_state(folder), pause_of(folder), hold_of(folder)
    known = Standing(
        serving=state.serving.version if state.serving else None,
        previous=state.previous.version if state.previous else None,
        may_return=state.may_return,
        paused=f"{pause.by}: {pause.reason}" if pause else "",
        held=f"{hold.by}: {hold.reason}" if hold else "",
    )
    return _with_rollout(known, settings, state, state.pending) if state.pending else known


def _with_rollout(known: Standing, settings: Settings, state: ReleaseState, pending: Pending) -> Standing:
    known = replace(known, version=pending.version, step="loading")
    if not pending.plan or not pending.candidate or pending.step >= len(pending.plan.steps) or not state.serving:
        return known
    step = pending.plan.steps[pending.step]
    rows = read_rows(settings.home, pending.since)
    seen = weigh(rows, digest=pending.candidate.digest, serving=state.serving.digest, step=step)
    return replace(
        known,
        step=step.name,
        steps=tuple(one.name for one in pending.plan.steps),
        seconds=round(time.time() - pending.since, 1),
        of_seconds=step.seconds,
        of_requests=step.requests,
        evidence=seen,
        breach=breach(seen, pending.plan.bounds, step),
    )


def history(log: AuditLog) -> list[AuditEvent]:
    """Return what was approved, refused, released and ordered, oldest first."""
    action, subject = ORDERS
    return [
        event
        for event in log.events()
        if event.action in ACTIONS or (event.action == action and event.subject == subject)
    ]


def compare_versions(settings: Settings, *, days: float = 30.0) -> Comparison:
    """Compare the version that is or was in shadow with the one that served, over the last days.

    Raises:
        NotFoundError: there are no two such versions, or no image that both answered.
    """
    state = load_state(settings.home / "release")
    pair = _shadow_and_serving(state)
    if pair is None:
        raise NotFoundError("no version is, or was lately, in shadow; approve one first")
    new, serving = pair
    rows = read_rows(settings.home, time.time() - days * A_DAY_S)
    return compare(rows, serving=(serving.version, serving.digest), new=(new.version, new.digest))


def _shadow_and_serving(state: ReleaseState) -> tuple[Served, Served] | None:
    pending = state.pending.candidate if state.pending else None
    if pending and state.serving:
        return pending, state.serving
    if state.serving and state.previous:
        return (state.serving, state.previous) if state.may_return else (state.previous, state.serving)
    return None


def release_folder(home: Path) -> Path:
    """Return where the controller keeps what it knows."""
    return home / "release"
