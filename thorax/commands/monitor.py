"""`thorax monitor`: compare what the serving model sees with what it was measured on; retrain within the plan."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.commands import monitor_bucket, truth
from thorax.commands.monitor_bucket import publish
from thorax.console import emit, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from imaging.settings import Settings
    from monitoring.change_control import Asked, Decision, Plan
    from monitoring.drift import DriftResult
    from monitoring.served import ServedModel
    from monitoring.watch import Ended, Watcher
    from pipelines.run_record import StepResult
    from thorax.live_steps import LiveSteps

app = typer.Typer(help="Watch the model that serves.", no_args_is_help=True)

Window = Annotated[str | None, typer.Option(help="How far back, as 7d, 12h or 30m; the plan's where absent.")]
Package = Annotated[
    Path | None, typer.Option(help="A model directory to compare with, instead of the one that serves.")
]
RetrainData = Annotated[
    str | None, typer.Option(help="New images, merged into the champion's dataset; that alone where absent.")
]
RetrainLabels = Annotated[str, typer.Option(help="Their label table (CSV).")]
Whole = Annotated[
    bool, typer.Option("--whole-dataset", help="The images are a whole dataset, in place of the champion's.")
]
Recipe = Annotated[str | None, typer.Option(help="Recipe to retrain with; the champion's where absent.")]
KeepSplit = Annotated[
    bool | None,
    typer.Option(
        "--keep-split/--new-split", help="Keep the label table's own split; as the champion's run where absent."
    ),
]
NoRetrain = Annotated[bool, typer.Option("--no-retrain", help="Only look, whatever is found.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


app.command("performance")(truth.performance)
app.command("queue")(truth.queue)
app.command("check-bucket")(monitor_bucket.check_bucket)
app.command("trends")(monitor_bucket.trends)


@app.callback()
def _group() -> None:
    """Watch the model that serves."""


@app.command()
def collect(as_json: Json = False) -> None:
    """Move the prediction log from its spool to Parquet, and copy it to the bucket."""
    from imaging.settings import Settings

    watcher = watcher_of(Settings().home)
    collected, uploaded = watcher.collect(), watcher.upload()
    _export(watcher)
    bucket = watcher.settings.predictions_bucket
    told = {"rows": collected.rows, "files": collected.files, "sent": uploaded.sent if uploaded else None}
    where = f"{uploaded.sent} sent to s3://{bucket}, {uploaded.held} there already" if uploaded else "no bucket is set"
    emit(told, as_json=as_json, text=f"{collected.rows} rows in {collected.files} files; {where}")


@app.command()
def drift(
    window: Window = None,
    package: Package = None,
    retrain_data: RetrainData = None,
    retrain_labels: RetrainLabels = "",
    recipe: Recipe = None,
    keep_split: KeepSplit = None,
    whole_dataset: Whole = False,
    no_retrain: NoRetrain = False,
    as_json: Json = False,
) -> None:
    """Check drift; beyond the bound and within the change control plan, retrain a challenger."""
    from imaging.settings import Settings

    home = Settings().home
    served, result = look(home, window=window, package=package)
    told = {**_told(served, result), "recorded": package is None}
    if not as_json or no_retrain or package is not None:
        emit(told, as_json=as_json, text=_table(result))
    if package is not None:
        say("compared with another package: not recorded as the serving model's drift, and nothing follows")
        return
    if no_retrain:
        return
    new: dict[str, Any] = {"data": retrain_data, "labels": retrain_labels, "whole": whole_dataset}
    how: dict[str, Any] = {"recipe": recipe, "keep_split": keep_split, **new}
    with contextlib.ExitStack() as stack:
        decision, ended = respond(home, served, result, **how, on_step=shown_from_the_first_step(stack))
    told["decision"] = {"action": decision.action, "rule": decision.rule, "reason": decision.reason}
    told["challenger"] = ended.version if ended else ""
    if as_json:
        emit(told, as_json=True)
    say_end(decision, ended)
    if ended is not None and not ended.passed:
        raise typer.Exit(1)


def look(home: Path, *, window: str | None = None, package: Path | None = None) -> "tuple[ServedModel, DriftResult]":
    """Collect the prediction log and check drift for the model that serves, and record the outcome.

    With `package`, its requests are compared with that model directory instead, and nothing is recorded.
    """
    from imaging.errors import ServiceError
    from monitoring.served import served_model

    watcher = watcher_of(home)
    served = served_model(watcher.settings.home)
    result = watcher.look(served, window=window, package=package)
    try:
        watcher.upload()
    except ServiceError as error:  # the look stands without it, and the next upload sends what this one did not
        say(f"warning: {error}; `thorax monitor collect` tries again")
    _export(watcher)
    if package is None:
        publish(watcher.settings.home, served, result)
    return served, result


def _export(watcher: "Watcher") -> None:
    """Leave what is known now where Prometheus finds it."""
    from monitoring.exporter import write_metrics

    write_metrics(watcher.settings)


def respond(
    home: Path,
    served: "ServedModel",
    result: "DriftResult | Asked",
    *,
    trigger: str = "drift",
    data: str | None = None,
    labels: str = "",
    recipe: str | None = None,
    keep_split: bool | None = None,
    whole: bool = False,
    on_step: "Callable[[StepResult], None] | None" = None,
) -> "tuple[Decision, Ended | None]":
    """Decide by the plan what follows from a drift check, and do it: at most a challenger.

    It is trained as the champion was: what is not given comes from the record of the run that made it, if this home
    still has that.

    Args:
        home: The home folder.
        served: The model that serves.
        result: What `look` found, or what else asks.
        trigger: Why, as the plan names it.
        data: New images, merged into the dataset version that the champion was trained on; that alone where absent.
        labels: Their label table.
        recipe: The champion's where absent.
        keep_split: Keep the label table's own split; as the champion's run did where absent.
        whole: `data` is a whole dataset, in place of the champion's.
        on_step: Told of every change of a pipeline step.
    """
    from monitoring.change_control import Asked, Request
    from thorax.commands.retrain_data import MERGING, champion_arguments, champion_dataset, counts_of, retraining, train

    asks = isinstance(result, Asked) or bool(result.above)
    base = champion_dataset(home, served.version) if asks else ""
    source, wanted = data or base, recipe or served.recipe
    request = Request(
        serving_version=served.version,
        recipe=wanted,
        champion_recipe=served.recipe,
        labelled=bool(source),
        trigger=trigger,
        counts=counts_of(data, labels) if data else {},
    )
    arguments = {
        **{"recipe": wanted, "source": source, "labels": labels, "name": "retrain"},
        "trigger": trigger if trigger in ("drift", "schedule") else "manual",
        **champion_arguments(home, served.version, recipe=wanted),
        **({} if keep_split is None else {"keep_split": keep_split}),
    }
    merging = bool(data) and asks and not whole
    pipeline = MERGING if merging else "train-classifier"
    arguments = retraining(home, served.version, base, arguments) if merging else arguments
    return watcher_of(home).answer(result, served, request, lambda: train(home, pipeline, arguments, on_step))


def plan() -> "Plan":
    """Return the change control plan that is installed; no option names another."""
    from monitoring.change_control import installed_plan

    return installed_plan()


def watcher_of(home: Path) -> "Watcher":
    """Return what looks at this home's model, by the plan that is installed."""
    from audit import AuditLog, default_folder
    from monitoring.watch import Watcher

    settings = _settings(home)
    log = AuditLog(default_folder(settings.home))
    return Watcher(settings=settings, plan=plan(), log=log, actor=settings.actor or "monitor")


def _settings(home: Path) -> "Settings":
    """Return the settings, with the bucket of this home's stack for the prediction log where none is named."""
    from imaging.errors import ServiceError
    from imaging.settings import Settings
    from thorax.stack.environment import settings_for

    own = Settings(home=home)
    if own.predictions_bucket:
        return own
    with contextlib.suppress(ServiceError):  # no stack was started here: the log stays on this machine
        stack = settings_for(own.home, "trainer")
        names = ("predictions_bucket", "s3_endpoint", "s3_access_key", "s3_secret_key")
        return own.model_copy(update={name: getattr(stack, name) for name in names})
    return own


def shown_from_the_first_step(stack: contextlib.ExitStack) -> "Callable[[StepResult], None]":
    """Return an `on_step` that opens the live table only if a run starts."""
    shown: list[LiveSteps] = []

    def on_step(step: "StepResult") -> None:
        if not shown:
            from thorax.live_steps import LiveSteps

            shown.append(stack.enter_context(LiveSteps()))
        shown[0].on_step(step)

    return on_step


def _told(served: "ServedModel", result: "DriftResult") -> "dict[str, Any]":
    return {
        "version": served.version,
        "drifted": result.drifted,
        "enough": result.enough,
        "rows": result.rows,
        "reference_rows": result.reference_rows,
        "refused": result.refused,
        "psi": result.scores,
        "noise": result.noise,
        "above": list(result.above),
        "html": str(result.html),
        "json": str(result.json),
    }


def _table(result: "DriftResult") -> Any:
    import json

    from rich.table import Table

    document = json.loads(result.json.read_text())
    table = Table(title=document["verdict"], title_justify="left", caption=str(result.html), caption_justify="left")
    for name in ("figure", "PSI", "bound", "sampling noise", "state"):
        table.add_column(name, justify="left" if name in {"figure", "state"} else "right")
    for figure in document["figures"]:
        numbers = (f"{figure['psi']:.3f}", f"{document['bound']}", f"{figure['noise']:.3f}")
        table.add_row(figure["name"], *numbers, figure["state"])
    return table


def say_end(decision: "Decision", ended: "Ended | None") -> None:
    """Tell a person what was decided and what became of it."""
    if decision.action == "none":
        say("nothing asks for a retraining")
    elif ended is None:
        say(f"retraining refused by the plan ({decision.rule}): {decision.reason}")
    elif ended.passed:
        say(f"retrained: version {ended.version} is the challenger; a person decides whether it serves")
    else:
        say(f"the retraining failed; see `thorax pipelines show {ended.run}`")
