"""`thorax train`: one recipe on one dataset, from images to a measured model, told as it goes."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thorax.console import emit, say

if TYPE_CHECKING:
    from imaging.config import TrainConfig
    from imaging.evaluation.schema import Evaluation, Figure
    from imaging.settings import Settings
    from thorax.live_training import LiveTraining
    from thorax.training_run import Order, Outcome

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
LARGEST_DATA_SHARE = 0.05
"""Of the training time; above it, the input pipeline is what limits."""

Recipe = Annotated[str, typer.Argument(help="A recipe; `thorax recipes list` shows them.")]
Data = Annotated[str, typer.Option(help="A dataset version, or a folder or s3:// address of images.")]
Labels = Annotated[str, typer.Option(help="Label table (CSV); class folders where absent.")]
Layout = Annotated[str, typer.Option(help="How the source is laid out; auto looks.")]
Subject = Annotated[
    Literal["radiograph", "picture"] | None, typer.Option(help="What the images show; default: what the recipe says.")
]
Finding = Annotated[str, typer.Option(help="Of a layout with findings: the one to tell from the rest.")]
DatasetName = Annotated[str, typer.Option("--name", help="What a new dataset version's name starts with.")]
Size = Annotated[int, typer.Option(help="Side of a new version's images in pixels; the recipe's input where 0.", min=0)]
SplitFile = Annotated[Path | None, typer.Option("--split", help="A split file of the dataset version.", dir_okay=False)]
KeepSplit = Annotated[bool, typer.Option("--keep-split", help="Keep the source's own split.")]
Seed = Annotated[int, typer.Option(help="Of the split; `--set seed=1` is training's.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a recipe's field: input.size=64, stages.0.epochs=1; the value as JSON or text."),
]
Out = Annotated[Path | None, typer.Option(help="The model directory; default: RECIPE-DIGEST in the home's models.")]
Weights = Annotated[
    Path | None, typer.Option(exists=True, help="File, or folder of files, to start from; default: THORAX_WEIGHTS.")
]
Evaluate = Annotated[bool, typer.Option("--evaluate/--no-evaluate", help="Calibrate, and measure on the test part.")]
Devices = Annotated[int, typer.Option(help="Processes that share each batch, one a GPU.", min=1)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON line an epoch and one with the result, on stdout.")]


def train(
    recipe: Recipe,
    data: Data,
    labels: Labels = "",
    layout: Layout = "auto",
    subject: Subject = None,
    finding: Finding = "",
    name: DatasetName = "dataset",
    size: Size = 0,
    split: SplitFile = None,
    keep_split: KeepSplit = False,
    seed: Seed = 0,
    changes: Set = None,
    out: Out = None,
    weights: Weights = None,
    evaluate: Evaluate = True,
    devices: Devices = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a recipe and write its model directory, with curves, test figures and a verdict.

    Ctrl-C stops with a checkpoint (exit status 130); the same command goes on. With --json, stdout has an object a
    line: "event" is "epoch" (an epoch's figures) or "result" (the last).
    """
    from thorax.live_training import LiveTraining
    from thorax.training_run import Order, Parts, Source

    if split is not None and keep_split:
        raise typer.BadParameter("--split brings a split, --keep-split keeps the source's: expected one of them")
    config = _config(recipe, changes or [], weights)
    source = Source(address=data, labels=labels, layout=layout, subject=subject, finding=finding, name=name, size=size)
    parts = Parts(file=split, keep=keep_split, seed=seed)
    order = Order(config=config, source=source, parts=parts, out=out, evaluate=evaluate, devices=devices)
    with _only_errors(quiet), LiveTraining(as_json=as_json, quiet=quiet) as live:
        outcome = _run(order, _settings(data, weights), live)
        live.write(result_line(order, outcome))
    if not as_json and not quiet:
        emit(result_text(order, outcome), as_json=False)


def _config(recipe: str, changes: list[str], weights: Path | None) -> "TrainConfig":
    """Return the recipe with its changes; what cannot be is refused here, before anything starts."""
    from imaging.recipes import changed_recipe
    from imaging.recipes.overrides import parse_overrides

    config = changed_recipe(recipe, parse_overrides(changes))
    if weights is not None and not config.pretrained:
        raise typer.BadParameter(f"{recipe} starts from random numbers; --weights needs --set pretrained=true")
    return config


def _run(order: "Order", settings: "Settings", live: "LiveTraining") -> "Outcome":
    """Run it; on Ctrl-C say what is kept and end with the status for that."""
    from thorax.training_run import run_training

    try:
        return run_training(order, settings, live)
    except KeyboardInterrupt:
        live.__exit__(None, None, None)
        say(stopped_text(live))
        raise typer.Exit(INTERRUPTED) from None


def stopped_text(live: "LiveTraining") -> str:
    """Say what a Ctrl-C stopped and what the same command does next."""
    if live.phase == "reading":
        return "stopped before training began; the same command starts anew"
    if live.phase == "measuring":
        return "stopped after training; the model is kept; the same command goes on with its evaluation"
    if not live.epochs_done:
        return "stopped before the first epoch was over; the same command starts anew"
    return f"stopped after epoch {live.epochs_done}; the checkpoint is kept; the same command goes on"


@contextlib.contextmanager
def _only_errors(quiet: bool) -> Iterator[None]:
    """Keep the library's warnings to itself while `quiet`."""
    library = logging.getLogger("imaging")
    before = library.level
    if quiet:
        library.setLevel(logging.ERROR)
    try:
        yield
    finally:
        library.setLevel(before)


def _settings(data: str, weights: Path | None) -> "Settings":
    """Return the settings, with the stack's bucket where the data is in one, and the weights that were given."""
    from imaging.errors import ServiceError
    from imaging.settings import Settings

    settings = Settings()
    if data.startswith("s3://") and not settings.s3_endpoint:
        from thorax.stack.environment import apply

        with contextlib.suppress(ServiceError):  # never started: boto3's own AWS_* variables decide
            apply(settings.home, "trainer")
        settings = Settings()
    return settings if weights is None else settings.model_copy(update={"weights": weights})


def result_line(order: "Order", outcome: "Outcome") -> dict[str, Any]:
    """Return the last JSON line."""
    report, evaluation = outcome.report, outcome.evaluation
    best = report.epochs[report.best_epoch - 1]
    return {
        "event": "result",
        "recipe": order.config.name,
        "model": str(outcome.model),
        "dataset": outcome.dataset.digest,
        "best": best.model_dump(mode="json"),
        "epochs": len(report.epochs),
        "seconds": report.seconds,
        "images_per_s": report.images_per_s,
        "data_share": report.data_share,
        "verdict": report.verdict.model_dump(mode="json"),
        "test": None if evaluation is None else _test_figures(evaluation),
    }


def _test_figures(evaluation: "Evaluation") -> dict[str, Any]:
    figures = {name: getattr(evaluation.overall, name).model_dump(mode="json") for name in TESTED}
    return {"images": evaluation.n_images, "patients": evaluation.n_patients, **figures}


TESTED = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_auroc": "macro AUROC"}
"""Test figures that are printed, and their names for people."""


def result_text(order: "Order", outcome: "Outcome") -> str:
    """Return what a person reads at the end."""
    from imaging.training.reports import duration_text

    report, model = outcome.report, outcome.model
    best = report.epochs[report.best_epoch - 1]
    waiting = f"{report.data_share:.1%} of the training time waiting for data"
    waiting += f" (more than {LARGEST_DATA_SHARE:.0%})" if report.data_share > LARGEST_DATA_SHARE else ""
    lines = [
        (
            "best epoch",
            f"{best.epoch} of {len(report.epochs)}, stage {best.stage}: validation loss {best.val_loss:.3f}",
        ),
        ("", f"accuracy {best.val_accuracy:.3f}, macro AUROC {best.val_macro_auroc:.3f}"),
        ("test", _test_text(outcome.evaluation)),
        ("time", f"{duration_text(report.seconds)}, {report.images_per_s:,.0f} images/s, {waiting}"),
        ("fit", f"{report.verdict.verdict}: {report.verdict.reason}"),
        ("rule", report.verdict.rule),
        ("model", str(model)),
        ("curves", f"{model / 'curves.png'}; tensorboard --logdir {model / 'tensorboard'}"),
    ]
    if outcome.evaluation is not None:
        lines.append(("report", str(model / "evaluation" / "evaluation.html")))
    lines += [("next", text) for text in _next_steps(order, outcome)]
    return "\n".join(f"{name:<11} {text}" for name, text in lines)


def _test_text(evaluation: "Evaluation | None") -> str:
    if evaluation is None:
        return "not measured; the same command with --evaluate does"
    figures = ", ".join(f"{text} {_figure(getattr(evaluation.overall, name))}" for name, text in TESTED.items())
    return f"{figures}; {evaluation.n_images} images of {evaluation.n_patients} patients"


def _figure(figure: "Figure") -> str:
    if figure.value is None:
        return "not measurable"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _next_steps(order: "Order", outcome: "Outcome") -> list[str]:
    """Say what can be done with the model, or about it."""
    from thorax.training_run import SERVED

    steps = []
    if order.config.registered_model == SERVED:
        run = f"thorax pipelines run train-classifier --recipe {order.config.name} --data {outcome.dataset.path}"
        steps.append(f"`{run}`, with the same --set, trains it behind the gates and registers it (after `thorax up`)")
    if outcome.report.verdict.verdict == "under-fitting":
        longer = f"--set stages.{len(order.config.stages) - 1}.epochs=N"
        steps.append(f"the same command with `{longer}` trains its last stage longer")
    return steps or [f"`thorax recipes show {order.config.name}` shows what was trained; --set changes it"]
