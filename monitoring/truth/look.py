"""One look at what the labels say of the model that serves, recorded; a fall is told once."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import AuditLog
from audit.feedback import FeedbackStore
from imaging.settings import Settings
from monitoring.drift.check import duration
from monitoring.drift.window import Span
from monitoring.served import ServedModel
from monitoring.truth.answers import load_answers
from monitoring.truth.known import load_known
from monitoring.truth.labels import effective_labels
from monitoring.truth.performance import Alarm, Performance, measure
from monitoring.truth.queue import Asked, label_queue
from monitoring.truth.report import verdict, write_performance

WINDOW = "90d"
FELL = "performance.fell"


@dataclass(frozen=True, kw_only=True, slots=True)
class PerformanceLook:
    """What was found, and the page that shows it."""

    found: Performance
    page: Path
    verdict: str


def look_at_performance(
    settings: Settings,
    log: AuditLog,
    served: ServedModel,
    *,
    actor: str,
    subject: str,
    window: str = WINDOW,
    until: datetime | None = None,
    out: Path | None = None,
) -> PerformanceLook:
    """Measure the served model's answers of the last `window` by their labels, and record the outcome.

    Raises:
        ConfigurationError: for a window that is none.
        ModelPackageError: the model directory has no description.
    """
    end = until or datetime.now(UTC)
    span = Span(since=end - duration(window), until=until, model_digest=served.digest)
    known = load_known(served.package)
    labels = effective_labels(FeedbackStore.of(settings.home).rows("feedback"))
    answers = load_answers(settings.home / "predictions" / "parquet", served.package, span, labels, known.classes)
    found = measure(answers, known, since=end - duration(window), until=end)
    name = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:6]}"
    place = out or settings.home / "performance" / name
    page = write_performance(found, known, place, since=end - duration(window), model_digest=served.digest)
    _record(log, found, page, served, actor=actor, subject=subject)
    return PerformanceLook(found=found, page=page, verdict=verdict(found))


def queue_of(settings: Settings, served: ServedModel, *, window: str, most: int) -> list[Asked]:
    """Return the images of the last `window` that a radiologist should be asked about.

    Raises:
        ConfigurationError: for a window that is none.
    """
    span = Span(since=datetime.now(UTC) - duration(window), model_digest=served.digest)
    labelled = {row.request_id for row in FeedbackStore.of(settings.home).rows("feedback")}
    log = settings.home / "predictions" / "parquet"
    return label_queue(log, served.package, span, labelled=labelled, most=most)


def _record(log: AuditLog, found: Performance, page: Path, served: ServedModel, *, actor: str, subject: str) -> None:
    report = page.with_suffix(".json")
    details = {
        "model": subject,
        "digest": served.digest,
        "answers": found.whole.answers,
        "labelled": found.whole.labelled,
        "fell": sorted(one.name for one in found.alarms),
        "report": "sha256:" + hashlib.sha256(report.read_bytes()).hexdigest(),
    }
    log.append("run.finished", actor=actor, subject=f"performance-check/{page.parent.name}", details=details)
    told = {
        name
        for event in log.events(action=FELL, subject=subject)
        if event.details.get("digest") == served.digest
        for name in event.details.get("rates", {})
    }
    new = {one.name: _told(one) for one in found.alarms if one.name not in told}
    if new:
        log.append(FELL, actor=actor, subject=subject, details={"digest": served.digest, "rates": new})


def _told(one: Alarm) -> dict[str, Any]:
    figures = {"rate": one.rate, "released_at_most": one.test.null_rate, "p": one.test.p_value}
    return {**{name: round(value, 6) for name, value in figures.items()}, "outcomes": one.outcomes}
