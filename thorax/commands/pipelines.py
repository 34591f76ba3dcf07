"""`thorax pipelines`: run a pipeline here, compile it, submit it to a cluster, look at what ran."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.errors import ServiceError
from thorax.commands.pipeline_arguments import (
    Data,
    DatasetName,
    Json,
    KeepSplit,
    Labels,
    Name,
    Own,
    Recipe,
    Seed,
    Set,
    Trigger,
    arguments_of,
    for_pipeline,
)
from thorax.commands.pipelines_submit import submit
from thorax.console import emit, say

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.run_record import RunResult

app = typer.Typer(help="Run, compile and submit the pipelines.", no_args_is_help=True)
app.command()(submit)


@app.command()
def run(
    pipeline: Name,
    recipe: Recipe,
    data: Data,
    labels: Labels = "",
    name: DatasetName = "dataset",
    changes: Set = None,
    trigger: Trigger = "manual",
    keep_split: KeepSplit = False,
    seed: Seed = 0,
    own: Own = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline on this machine; finished steps of earlier runs are reused."""
    from pipelines.runner import run_local
    from thorax.live_steps import LiveSteps

    given = arguments_of(recipe, data, labels, name, changes or [], trigger=trigger, keep_split=keep_split, seed=seed)
    arguments = for_pipeline(pipeline, given, own or [])
    home = _sign_in(pipeline)
    with LiveSteps() as steps:
        result = run_local(pipeline, arguments, home=home, on_step=steps.on_step)
    gates = result.run_dir / "steps" / "check-gates" / "gates" / "gates.json"
    report = json.loads(gates.read_text()) if gates.is_file() else {}
    text = _gates_table(report) if report else _found(result)
    emit({**result.to_json(), "gates": report}, as_json=as_json, text=text)
    _tell_end(result)
    if not result.passed:
        raise typer.Exit(1)


@app.command("compile")
def compile_(
    pipeline: Name, out: Annotated[Path, typer.Option(help="Where to write the YAML.")] = Path("pipeline.yaml")
) -> None:
    """Compile a pipeline to a package for Kubeflow Pipelines."""
    from pipelines.compilation import compile_pipeline

    emit(str(compile_pipeline(pipeline, out)), as_json=False)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the pipelines and what each is for."""
    from pipelines import PIPELINES

    about = {name: (pipeline.description or "").split("\n")[0] for name, pipeline in PIPELINES.items()}
    emit(about, as_json=as_json, text="\n".join(f"{name:<20} {text}" for name, text in about.items()))


@app.command()
def show(
    run_name: Annotated[str, typer.Argument(metavar="[RUN]", help="A run's name or how it starts or ends.")] = "",
    as_json: Json = False,
) -> None:
    """Show one run's steps, or the runs there are."""
    from imaging.settings import Settings
    from pipelines.run_record import find_run, list_runs
    from thorax.live_steps import steps_table

    home = Settings().home
    if not run_name:
        runs = list_runs(home)
        emit([run.to_json() for run in runs], as_json=as_json, text=_runs_text(runs) if runs else f"no runs in {home}")
        return
    found = find_run(home, run_name)
    emit(found.to_json(), as_json=as_json, text=steps_table(found.steps))
    _tell_end(found)


def _sign_in(pipeline: str) -> Path:
    """Act as the trainer of this home's stack, or as the environment says; return the home.

    Raises:
        ServiceError: if neither names a registry, and the pipeline registers.
    """
    from imaging.settings import Settings
    from pipelines.compilation import find_pipeline, parameters
    from thorax.stack.environment import apply

    home = Settings().home
    try:
        apply(home, "trainer")
    except ServiceError as error:
        if "champion" in parameters(find_pipeline(pipeline)) and not Settings().mlflow_uri:
            raise ServiceError("expected a registry to register in, got none; run `thorax up` first") from error
    return home


def _found(result: "RunResult") -> str:
    """Return what a pipeline without gates found out: the best settings, or the figures over the folds."""
    search, folds = result.artifact("choose-settings", "search"), result.artifact("summarise-folds", "summary")
    if search is not None:
        best = json.loads((search / "trials.json").read_text())["best"]
        return f"trial {best['number']}: {best['value']:.4f}\n{best['set']}\n{search / 'search.png'}"
    if folds is not None:
        overall = json.loads((folds / "cross_validation.json").read_text())["overall"]
        lines = [f"{name:<20} {_spread(one)}" for name, one in overall.items()]
        return "\n".join([*lines, str(folds / "cross_validation.html")])
    return ""


def _spread(one: dict[str, Any]) -> str:
    mean, std, pooled = one["mean"], one["std"], one["pooled"]
    of_folds = "-" if mean is None else f"{mean:.3f} +- {std:.3f}"
    interval = "" if pooled["low"] is None else f" ({pooled['low']:.3f}-{pooled['high']:.3f})"
    return f"{of_folds}   pooled {_figure(pooled['value'])}{interval}"


def _tell_end(result: "RunResult") -> None:
    """Say how a run ended, where it is kept, and a failed step's own error."""
    for step in result.steps:
        if step.state == "failed":
            say(f"{step.name} failed: {step.error}".replace("[", r"\["))
            say(f"its log: {result.run_dir / 'logs' / f'{step.name}.log'}")
    if result.passed and result.version:
        say(f"registered {_registered_model(result)} version {result.version} as challenger")
    say(f"run {result.run_dir.name}: {_end(result)}, {result.seconds:.1f} s, kept in {result.run_dir}")


def _registered_model(result: "RunResult") -> str:
    """Return the name that the run's package is registered under."""
    package = result.artifact("package-model", "package")
    info = package / "model.json" if package else None
    return str(json.loads(info.read_text())["name"]) if info and info.is_file() else "model"


def _end(result: "RunResult") -> str:
    return "passed" if result.passed else "failed" if result.ended else "still running"


def _gates_table(report: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("gate", "answer", "figure", "bound", "reason", box=None, pad_edge=False)
    for row in report["results"]:
        applies = row.get("applies", True)
        answer = "[green]passed[/]" if row["passed"] else "[red]FAILED[/]" if applies else "not applicable"
        ask = f" (ask: {row['owner']})" if applies and not row["passed"] and row.get("owner") else ""
        table.add_row(row["gate"], answer, _figure(row["figure"]), _figure(row["bound"]), f"{row['reason']}{ask}")
    return table


def _figure(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _runs_text(runs: "list[RunResult]") -> str:
    """Return a line a run: name, end, seconds, version or the code of its error."""
    lines = [
        f"{run.run_dir.name}  {_end(run):<13} {run.seconds:8.1f} s  {run.version or run.error[1:].partition(']')[0]}"
        for run in runs
    ]
    return "\n".join(line.rstrip() for line in lines)
