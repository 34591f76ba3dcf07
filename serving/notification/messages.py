"""From an event of the audit record to words for a person; most events have none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from audit import AuditEvent

ORDERS = ("paused", "resumed", "held", "lifted")
WHY_TRAINED = {"drift": "drift was found", "schedule": "it was due"}

Topic = Literal["waiting", "refused", "rolled_back", "released", "drift", "performance", "paused", "adverse"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is sent; `key` is the same each time that the same event is told."""

    topic: Topic
    subject: str
    text: str
    key: str
    time: str
    version: str

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        names = ("topic", "subject", "text", "key", "time", "version")
        return {name: getattr(self, name) for name in names}


def message_of(event: AuditEvent, *, page: str = "") -> Message | None:
    """Return what people are told of an event; None for what concerns nobody at once.

    Args:
        event: Of the record.
        page: Address of the model's page in the registry, for who has to decide.
    """
    told = TOLD.get(event.action)
    if told is None or (event.action == "config.changed" and event.details.get("did") not in ORDERS):
        return None
    topic, say = told
    version = event.subject.removeprefix("chest-xray/")
    subject, text = say(event, version)
    where = [page] if page and topic == "waiting" else []
    lines = [text, *where, f"Event {event.seq} of the record, {event.time[:19]} UTC."]
    return Message(
        topic=topic,
        subject=subject,
        text="\n".join(lines),
        key=f"{event.seq}-{event.hash[:16]}",
        time=event.time,
        version=version,
    )


def _waiting(event: AuditEvent, version: str) -> tuple[str, str]:
    why = WHY_TRAINED.get(str(event.details.get("trigger")), "somebody asked")
    return (
        f"chest-xray version {version} waits for an approval",
        f"Version {version} ({event.details.get('recipe', 'no recipe on record')}) passed every gate; "
        f"it was trained because {why}. Its page in the registry has the evaluation and the model card.",
    )


def _refused(event: AuditEvent, version: str) -> tuple[str, str]:
    return f"chest-xray {version}: an approval was refused", f"By {event.actor}: {_reason(event)}."


def _denied(event: AuditEvent, version: str) -> tuple[str, str]:
    return f"chest-xray {version}: access was denied to {event.actor}", f"{_reason(event)}."


def _rolled_back(event: AuditEvent, version: str) -> tuple[str, str]:
    serving = event.details.get("serving") or "none"
    return f"chest-xray version {version} was rolled back", f"{_reason(event)}. Version {serving} serves."


def _released(event: AuditEvent, version: str) -> tuple[str, str]:
    by = event.details.get("approved_by", "nobody on record")
    if event.details.get("way_back"):
        was = event.details.get("previous")
        said = f"Approved by {by}, in the place of version {was}: {event.details.get('meaning', '')}"
        return f"chest-xray went back to version {version}", said
    return f"chest-xray version {version} serves", f"Approved by {by}: {event.details.get('meaning', '')}"


def _drift(event: AuditEvent, version: str) -> tuple[str, str]:
    figures = event.details.get("figures")
    names = ", ".join(sorted(figures)) if isinstance(figures, dict) else "see the report"
    return f"chest-xray version {version}: drift was found", f"Beyond the bound and beyond chance: {names}."


def _fell(event: AuditEvent, version: str) -> tuple[str, str]:
    rates = event.details.get("rates")
    told = (
        [f"{name} {one['rate']:.0%}, at release at most {one['released_at_most']:.0%}" for name, one in rates.items()]
        if isinstance(rates, dict)
        else []
    )
    return f"chest-xray version {version}: labels say it got worse", "; ".join(told) or "See the report."


def _retrain_refused(event: AuditEvent, version: str) -> tuple[str, str]:
    return f"chest-xray version {version}: a retraining was refused", f"{_reason(event)}."


def _order(event: AuditEvent, _version: str) -> tuple[str, str]:
    did, reason = event.details.get("did", "changed"), str(event.details.get("reason") or "No reason given.")
    if did == "held":
        return f"chest-xray is on hold, by {event.actor}: every answer is referred", f"{reason}. An approver lifts it."
    if did == "lifted":
        return f"chest-xray: the hold was lifted by {event.actor}", reason
    return f"chest-xray: releases were {did} by {event.actor}", reason


def _adverse(event: AuditEvent, _version: str) -> tuple[str, str]:
    told = {name: str(event.details.get(name, "?")).replace("_", " ") for name in ("report_id", "severity", "category")}
    return (
        f"chest-xray: adverse result reported, {told['severity']}, {told['category']}",
        f"Report {told['report_id']} by {event.actor} about {event.subject}. "
        f"What was written is shown by: thorax adverse show {told['report_id']}",
    )


def _reason(event: AuditEvent) -> str:
    return str(event.details.get("reason") or "no reason on record").rstrip(".")


TOLD: dict[str, tuple[Topic, Callable[[AuditEvent, str], tuple[str, str]]]] = {
    "model.registered": ("waiting", _waiting),
    "approval.refused": ("refused", _refused),
    "access.denied": ("refused", _denied),
    "retrain.refused": ("refused", _retrain_refused),
    "release.rolled_back": ("rolled_back", _rolled_back),
    "release.completed": ("released", _released),
    "drift.detected": ("drift", _drift),
    "performance.fell": ("performance", _fell),
    "config.changed": ("paused", _order),
    "adverse.reported": ("adverse", _adverse),
}
