"""A page that an inspector can read: who approved what, when, on which evidence, what served between, what was refused.

Made from the record alone. It is not itself a proof: that is `AuditLog.export`, whose key the page names.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from audit.event import AuditEvent
from audit.keys import fingerprint
from audit.log import CLOCK, AuditLog

REFUSALS = ("approval.refused", "access.denied", "retrain.refused", "release.rolled_back")
CHANGES = ("config.changed", "drift.detected", "retrain.requested", "adverse.reported")
WORDS = {
    "approval.refused": "an approval was refused",
    "access.denied": "access was denied",
    "retrain.refused": "a retraining was refused",
    "release.rolled_back": "a release was rolled back",
    "config.changed": "a setting was changed",
    "drift.detected": "drift was found",
    "retrain.requested": "a retraining was asked for",
    "adverse.reported": "an adverse event was reported",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A time in which one version served."""

    version: str
    digest: str
    begin: datetime
    end: datetime | None
    """None while it still serves."""
    approved_by: str
    is_way_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """One decision of a person, its evidence and its outcome."""

    time: datetime
    actor: str
    version: str
    author: str
    meaning: str
    digest: str
    gates: tuple[dict[str, Any], ...] = ()
    """Each gate's last answer before the approval: gate, passed, figure, bound."""
    outcome: str = "no release followed yet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the page shows."""

    begin: datetime
    end: datetime
    services: tuple[Service, ...]
    approvals: tuple[Approval, ...]
    refusals: tuple[AuditEvent, ...]
    changes: tuple[AuditEvent, ...]
    counts: dict[str, int] = field(default_factory=dict)
    predictions: int = 0
    """Rows of the prediction log that the record vouches for, collected in this time."""


def report(events: Sequence[AuditEvent], *, begin: datetime, end: datetime) -> Report:
    """Read the record of a time, and what of the time before it takes.

    Args:
        events: The whole record, oldest first.
        begin: The first moment.
        end: The moment after the last.
    """
    inside = [event for event in events if begin <= moment(event) < end]
    logged = [event for event in inside if event.action == "prediction.logged"]
    return Report(
        begin=begin,
        end=end,
        services=tuple(one for one in services(events) if one.begin < end and (one.end is None or one.end > begin)),
        approvals=tuple(_approval(event, events) for event in inside if event.action == "model.approved"),
        refusals=tuple(event for event in inside if event.action in REFUSALS),
        changes=tuple(event for event in inside if event.action in CHANGES or CLOCK in event.details),
        counts=dict(sorted(Counter(event.action for event in inside).items())),
        predictions=sum(int(event.details.get("rows", 0)) for event in logged),
    )


def services(events: Sequence[AuditEvent]) -> list[Service]:
    """Return what served when, by the releases that were completed."""
    done = [event for event in events if event.action == "release.completed"]
    ends = [moment(event) for event in done[1:]]
    return [
        Service(
            version=version_of(event),
            digest=str(event.details.get("digest", "")),
            begin=moment(event),
            end=end,
            approved_by=str(event.details.get("approved_by", "")),
            is_way_back=bool(event.details.get("way_back")),
        )
        for event, end in zip(done, [*ends, None], strict=False)
    ]


def write_report(path: Path, log: AuditLog, *, begin: datetime, end: datetime) -> Report:
    """Write the page of a time and return what it shows; what does not hold is said on top of it.

    Raises:
        AuditError: the record cannot be read.
    """
    from jinja2 import Environment, StrictUndefined

    from audit.timeline import draw_timeline

    found = report(log.events(), begin=begin, end=end)
    key = log.witness.public_key()
    template = resources.files("audit").joinpath("report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    text = page.render(
        report=found,
        verification=log.verify(),
        key=fingerprint(key) if key else "none yet",
        timeline=draw_timeline(found),
        words_of=words_of,
        version_of=version_of,
        made=datetime.now(UTC),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return found


def words_of(event: AuditEvent) -> str:
    """Return what happened, in words; that the clock was set back before it too."""
    said = WORDS.get(event.action, event.action)
    back = event.details.get(CLOCK)
    return f"{said}; the clock had gone back by {back:.0f} s" if back else said


def moment(event: AuditEvent) -> datetime:
    """Return when an event was recorded."""
    return datetime.fromisoformat(event.time)


def version_of(event: AuditEvent) -> str:
    """Return the version that an event is about; its subject where it is about none."""
    model, _, version = event.subject.partition("/")
    return version if version and model == "chest-xray" else event.subject


def _approval(approved: AuditEvent, events: Sequence[AuditEvent]) -> Approval:
    before = [event for event in events if event.seq < approved.seq]
    registered = [event for event in before if event.action == "model.registered" and event.subject == approved.subject]
    digest = str(registered[-1].details.get("digest", "")) if registered else ""
    gates = {
        str(event.details.get("gate")): dict(event.details)
        for event in before
        if event.action == "gate.evaluated" and event.subject == digest
    }
    return Approval(
        time=moment(approved),
        actor=approved.actor,
        version=version_of(approved),
        author=str(approved.details.get("author", "")),
        meaning=str(approved.details.get("meaning", "")),
        digest=digest,
        gates=tuple(gates.values()),
        outcome=_outcome(approved, events),
    )


def _outcome(approved: AuditEvent, events: Sequence[AuditEvent]) -> str:
    """Return what the next word of the release controller on this version was."""
    for event in events:
        if event.seq <= approved.seq or event.subject != approved.subject:
            continue
        if event.action == "release.completed":
            return f"served from {event.time[:19].replace('T', ' ')} on"
        if event.action in ("release.rolled_back", "approval.refused"):
            return f"{WORDS[event.action]}: {event.details.get('reason', '')}"
        if event.action == "model.approved":
            return "approved again before it served"
    return "no release followed yet"
