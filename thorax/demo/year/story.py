"""The year, week by week: traffic, the watch, what the plan answers, a person's approval; and what came of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imaging.atomic import write_text
from thorax.demo.telling import Telling
from thorax.demo.year import hospital
from thorax.demo.year.material import YearMaterial, year_material
from thorax.demo.year.page import write_year_page
from thorax.demo.year.traffic import Traffic

if TYPE_CHECKING:
    from monitoring.drift import DriftResult
    from monitoring.served import ServedModel

APPROVED_AFTER = 2
"""Weeks from a challenger to its approval, in the first half of the year; the second one waits for somebody."""
LOOK_AT_LABELS_EVERY = 2


@dataclass(kw_only=True)
class Year:
    """What is kept of each week, and what happened."""

    weeks: list[dict[str, Any]] = field(default_factory=list)
    happened: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, week: int, kind: str, text: str, **more: Any) -> None:
        """Keep something that happened."""
        self.happened.append({"week": week, "kind": kind, "text": text, **more})

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return what happened of a kind."""
        return [one for one in self.happened if one["kind"] == kind]


def tell_year(home: Path) -> dict[str, Any]:
    """Run the year in `home`; return what came of it.

    Raises:
        ThoraxError: when a stage fails.
    """
    from monitoring.served import served_model
    from thorax.demo.story import approve, start_stack, train

    place = (home / "demo" / "year").resolve()
    place.mkdir(parents=True, exist_ok=True)
    telling, year = Telling(), Year()
    found: dict[str, Any] = {}
    write_text(home / "rollout.yaml", _without_steps())
    start_stack(telling, home, found)
    with telling.chapter("data") as chapter:
        material = year_material(place, telling.note)
        chapter.outcome = material.told
    train(telling, home, material.as_material(), found)
    approve(telling, home, found)
    with telling.chapter("the year") as chapter:
        traffic = _traffic(home, material)
        _live(telling, home, traffic, material, year)
        chapter.outcome = f"{hospital.WEEKS} weeks, {len(year.of('drift')) + len(year.of('performance'))} alarms"
    judged = judge(year)
    page = write_year_page(place / "index.html", year.weeks, year.happened, judged)
    return {**judged, "serving": served_model(home).version, "page": str(page), "seconds": round(telling.seconds, 1)}


def _without_steps() -> str:
    """Return the platform's rollout without its steps, which wait for requests of clients."""
    import yaml

    from serving.release.plan import DEFAULT

    plan = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    return yaml.safe_dump({**plan, "steps": [], "why": "nobody asks meanwhile, in a year of minutes"})


def _traffic(home: Path, material: YearMaterial) -> Traffic:
    from imaging.data.pseudonyms import pseudonym_key
    from imaging.settings import Settings
    from monitoring.served import served_model
    from thorax.demo.year.material import packed_size

    size = packed_size(served_model(home).package)
    return Traffic.pack(home, material.traffic, material.scanner, size=size, key=pseudonym_key(Settings(home=home)))


def _live(telling: Telling, home: Path, traffic: Traffic, material: YearMaterial, year: Year) -> None:
    from monitoring.served import served_model

    images, sent = traffic.images, {}
    waiting: tuple[int, str] | None = None
    for week in range(hospital.WEEKS):
        served = served_model(home)
        sent[week] = hospital.drawn(images, week)
        traffic.send(served, week, sent[week])
        _give_labels(traffic, sent, week, year)
        drift = _look(home, served, week, year)
        telling.note(f"week {week + 1} of {hospital.WEEKS}: version {served.version} serves")
        if drift.drifted:
            challenger = _answer(telling, home, served, drift, material, week, year)
            waiting = (week, challenger) if challenger else waiting
        if week % LOOK_AT_LABELS_EVERY == 0:
            _look_at_labels(home, served, week, year)
        if waiting and week >= waiting[0] + APPROVED_AFTER and week < hospital.WAVE.start:
            _approve(home, waiting[1], week, year)
            waiting = None


def _give_labels(traffic: Traffic, sent: dict[int, np.ndarray], week: int, year: Year) -> None:
    """Labels come late; the wrong ones are corrected once somebody has looked."""
    now = hospital.begin_of(week + 1).isoformat()
    if week >= hospital.LABELS_LATE:
        old = week - hospital.LABELS_LATE
        traffic.label(old, sent[old], now)
    if week == hospital.MISLABELLED.stop + hospital.LABELS_LATE + hospital.NOTICED_AFTER:
        corrected = sum(traffic.label(old, sent[old], now, correct=True) for old in hospital.MISLABELLED)
        year.tell(week, "corrected", f"{corrected} labels of site {hospital.MISLABELLED_SITE} were corrected")


def _look(home: Path, served: "ServedModel", week: int, year: Year) -> "DriftResult":
    from thorax.commands.monitor import watcher_of

    watcher = watcher_of(home)
    drift = watcher.look(served, until=hospital.begin_of(week + 1))
    whole = drift.parts[0] if drift.parts else None
    worst = max((one.psi / max(one.noise, 1e-9) for part in drift.parts for one in part.figures), default=0.0)
    year.weeks.append(
        {
            "week": week,
            "version": served.version,
            "rows": drift.rows,
            "score": whole.score if whole else 0.0,
            "score_noise": whole.score_noise if whole else 0.0,
            "worst": worst,
            "drifted": drift.drifted,
            "above": list(drift.above)[:6],
            "html": str(drift.html),
        }
    )
    if drift.drifted:
        year.tell(week, "drift", ", ".join(drift.above[:4]), html=str(drift.html))
    return drift


def _answer(
    telling: Telling,
    home: Path,
    served: "ServedModel",
    drift: "DriftResult",
    material: YearMaterial,
    week: int,
    year: Year,
) -> str:
    """Let the plan decide; return the challenger's version where there is a new one."""
    from thorax.commands.monitor import respond

    decision, ended = respond(
        home,
        served,
        drift,
        data=str(material.retrain),
        labels=str(material.retrain / "labels.csv"),
        keep_split=True,
        whole=True,
        on_step=lambda step: telling.note(f"week {week + 1}: train-classifier: {step.name} {step.state}"),
    )
    if ended is None:
        year.tell(week, "refused", f"{decision.rule}: {decision.reason}", rule=decision.rule)
        return ""
    outcome = f"version {ended.version} is the challenger" if ended.passed else "a gate stopped it"
    year.tell(week, "retrained", f"{decision.reason}; {outcome}", version=ended.version)
    return ended.version if ended.passed else ""


def _look_at_labels(home: Path, served: "ServedModel", week: int, year: Year) -> None:
    from audit import AuditLog, default_folder
    from imaging.settings import Settings
    from monitoring.truth.look import look_at_performance

    look = look_at_performance(
        Settings(home=home),
        AuditLog(default_folder(home)),
        served,
        actor="monitor",
        subject=f"chest-xray/{served.version}",
        window="56d",
        until=hospital.begin_of(week + 1),
    )
    own = look.found.whole.classes.get(hospital.WAVE_CLASS)
    figure = own.sensitivity if own else None
    year.weeks[-1]["sensitivity"] = figure.model_dump() if figure else None
    year.weeks[-1]["estimated"] = own.estimated.sensitivity if own else None
    year.weeks[-1]["labelled"] = look.found.whole.labelled
    if look.found.alarms:
        told = ", ".join(f"{one.name} {one.rate:.0%}" for one in look.found.alarms)
        year.tell(week, "performance", told, html=str(look.page))


def _approve(home: Path, version: str, week: int, year: Year) -> None:
    from imaging.registry import Registry
    from thorax.demo.story import wait_until_served
    from thorax.stack.environment import settings_for

    registry = Registry.from_settings(settings_for(home, "approver"))
    registry.set_alias(version, "champion")
    wait_until_served(registry, version)
    year.tell(week, "approved", f"the approver made version {version} champion; it serves")


def judge(year: Year) -> dict[str, Any]:
    """Hold the alarms against what happened: found in time, and how many alarms nothing explains."""
    events = [_found(event, year) for event in hospital.EVENTS]
    explained = {kind: {week for one in hospital.EVENTS if one.kind == kind for week in one.weeks} for kind in ALARMS}
    false = [one for kind in ALARMS for one in year.of(kind) if one["week"] not in explained[kind]]
    return {
        "events": events,
        "false_alarms": [{"week": one["week"], "what": one["text"]} for one in false],
        "retrained": [one["text"] for one in year.of("retrained")],
        "refused": [one["text"] for one in year.of("refused")],
        "approved": [one["text"] for one in year.of("approved")],
        "as_it_should_be": all(one["in_time"] for one in events) and len(false) <= 1,
    }


ALARMS = ("drift", "performance")


def _found(event: hospital.Event, year: Year) -> dict[str, Any]:
    weeks = [one["week"] for one in year.of(event.kind) if one["week"] in event.weeks]
    first = min(weeks, default=None)
    in_time = first is not None and first <= event.found_by
    return {"what": event.name, "began": event.weeks.start, "found": first, "in_time": in_time}
