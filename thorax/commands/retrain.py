"""`thorax retrain`: what the change control plan allows, what was done by it, and a person's own start."""

import contextlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from pathlib import Path

    from monitoring.change_control import Asked, Decision, Plan, Request, Retrain
    from monitoring.served import ServedModel
    from monitoring.watch import Ended

app = typer.Typer(help="Retraining within the change control plan.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Data = Annotated[
    str | None, typer.Option(help="New images, merged into the champion's dataset; that alone where absent.")
]
Whole = Annotated[
    bool, typer.Option("--whole-dataset", help="The images are a whole dataset, in place of the champion's.")
]
Labels = Annotated[str, typer.Option(help="Their label table (CSV).")]


@app.command()
def status(as_json: Json = False) -> None:
    """Show every retraining that was requested, and what the plan's limits leave."""
    from imaging.settings import Settings

    plan, history = _plan_and_history(Settings().home)
    rows, left = [_row(one) for one in history], _left(plan, history)
    lines = [f"{row['time'][:19]}  {row['request']}  version {row['for']}  {row['outcome']}" for row in rows]
    text = "\n".join([*(lines or ["none was requested"]), f"{left} more within 90 days"])
    emit({"plan": plan.digest, "left_in_90_days": left, "retrainings": rows}, as_json=as_json, text=text)


@app.command()
def explain(as_json: Json = False) -> None:
    """Say what the plan would answer now to drift, worse performance, the schedule and a person, and by which rule."""
    from imaging.settings import Settings
    from monitoring.served import served_model

    home = Settings().home
    served = served_model(home)
    plan, history = _plan_and_history(home)
    rows = [_would(kind, home, served, plan, history) for kind in ("drift", "performance", "schedule", "person")]
    lines = [f"{row['trigger']:12} {row['action']:8} {row['rule']:18} {row['reason']}" for row in rows]
    told = {"plan": plan.digest, "serving_version": served.version, "triggers": rows}
    emit(told, as_json=as_json, text="\n".join([f"plan {plan.digest[:19]}…, for version {served.version}", *lines]))


@app.command()
def start(
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")],
    data: Data = None,
    labels: Labels = "",
    whole_dataset: Whole = False,
    as_json: Json = False,
) -> None:
    """Retrain because a person says so; every other rule of the plan holds. The result is a challenger and no more."""
    from imaging.settings import Settings
    from monitoring.change_control import Asked

    _end(*_answer(Settings().home, Asked(reason=reason), "person", data, labels, whole=whole_dataset), as_json=as_json)


@app.command()
def check(data: Data = None, labels: Labels = "", whole_dataset: Whole = False, as_json: Json = False) -> None:
    """Retrain where labels say that the model got worse, or the schedule asks for it; for a daily job."""
    from imaging.settings import Settings
    from thorax.commands.truth import look_at

    home = Settings().home
    look = look_at(home)
    for kind, asked in _asking(home, bool(look.found.alarms), look.found.whole.labelled).items():
        decision, ended = _answer(home, asked, kind, data, labels, whole=whole_dataset)
        if decision.action != "none":
            _end(decision, ended, as_json=as_json)
            return
    emit({"action": "none"}, as_json=as_json, text="nothing asks for a retraining")


def _asking(home: "Path", fell: bool, labelled: int) -> "dict[str, Asked]":  # one look's two outcomes
    from monitoring.change_control import Asked
    from monitoring.served import served_model

    since = _since(home, served_model(home).version)
    return {
        "performance": Asked(reason="labels say that it got worse", fell=fell, labelled=labelled),
        "schedule": Asked(reason="it was due", since=since),
    }


def _since(home: "Path", version: str) -> datetime | None:
    """Return when a version was registered, or a retraining last requested for it."""
    from audit import AuditLog, default_folder

    log, subject = AuditLog(default_folder(home)), f"chest-xray/{version}"
    events = [*log.events("model.registered", subject), *log.events("retrain.requested", subject)]
    return max((datetime.fromisoformat(event.time) for event in events), default=None)


def _answer(
    home: "Path", asked: "Asked", kind: str, data: str | None, labels: str, *, whole: bool
) -> "tuple[Decision, Ended | None]":
    from monitoring.served import served_model
    from thorax.commands.monitor import respond, shown_from_the_first_step

    with contextlib.ExitStack() as stack:
        return respond(
            home,
            served_model(home),
            asked,
            data=data,
            labels=labels,
            trigger=kind,
            whole=whole,
            on_step=shown_from_the_first_step(stack),
        )


def _end(decision: "Decision", ended: "Ended | None", *, as_json: bool) -> None:
    from thorax.commands.monitor import say_end

    told = {"action": decision.action, "rule": decision.rule, "reason": decision.reason}
    if as_json:
        emit({**told, "challenger": ended.version if ended else ""}, as_json=True)
    say_end(decision, ended)
    if ended is not None and not ended.passed:
        raise typer.Exit(1)


def _plan_and_history(home: "Path") -> "tuple[Plan, list[Retrain]]":
    from audit import AuditLog, default_folder
    from monitoring.retrain_history import read_history, retraining_lock
    from thorax.commands.monitor import plan

    with retraining_lock(home) as free:
        return plan(), read_history(AuditLog(default_folder(home)), one_runs=not free)


def _left(plan: "Plan", history: "list[Retrain]") -> int:
    from datetime import UTC

    recent = [one for one in history if datetime.now(UTC) - one.time < timedelta(days=90)]
    return max(plan.limits.most_in_90_days - sum(one.outcome != "abandoned" for one in recent), 0)


def _row(one: "Retrain") -> dict[str, Any]:
    fixed = {"request": one.request, "time": one.time.isoformat()}
    return {**fixed, "for": one.serving_version, "outcome": one.outcome}


def _would(kind: str, home: "Path", served: "ServedModel", plan: "Plan", history: "list[Retrain]") -> dict[str, Any]:
    """Return what the plan would say to a trigger whose own evidence is there."""
    from monitoring.change_control import Asked, decide, decide_asked

    request = _request(kind, served)
    if kind == "drift":
        decision = decide(_Shown(), plan, history, request=request)
    else:
        since = _since(home, served.version) if kind == "schedule" else None
        asked = Asked(reason="as this explains", fell=True, labelled=10**6, since=since)
        decision = decide_asked(asked, plan, history, request=request)
    return {"trigger": kind, "action": decision.action, "rule": decision.rule, "reason": decision.reason}


def _request(kind: str, served: "ServedModel") -> "Request":
    from monitoring.change_control import Request

    return Request(
        serving_version=served.version,
        recipe=served.recipe,
        champion_recipe=served.recipe,
        labelled=True,
        trigger=kind,
    )


class _Shown:
    """A drift check that found drift."""

    drifted, enough, above, rows = True, True, ("a watched figure",), 1_000
