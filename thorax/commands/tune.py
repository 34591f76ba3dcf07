"""`thorax tune`: search for better settings of a recipe, on the validation part of a dataset version."""

import contextlib
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imaging.errors import NotFoundError, ServiceError
from thorax.console import emit, say, talk

if TYPE_CHECKING:
    from rich.table import Table

    from imaging.settings import Settings
    from imaging.tuning.results import SearchResult
    from imaging.tuning.search import News, Plan


INTERRUPTED = 130
"""Exit status after Ctrl-C."""

Recipe = Annotated[str, typer.Argument(help="A recipe; `thorax recipes list` shows them.")]
Data = Annotated[Path, typer.Option(help="A dataset version, as `thorax data ingest` writes it.")]
SpaceTexts = Annotated[
    list[str],
    typer.Option(
        "--space",
        help="What may vary: field=log(1e-4,1e-1), =uniform(0,1), =int(1,4), =choice(a,b), or a YAML file of them.",
    ),
]
Trials = Annotated[int, typer.Option(help="Settings to try in all, over every run of this search.", min=1)]
Parallel = Annotated[int, typer.Option(help="Trials at once, each in a process of its own.", min=1, max=64)]
Timeout = Annotated[float, typer.Option(help="Seconds until running trials are interrupted; 0: never.", min=0)]
Seed = Annotated[int, typer.Option(help="Of what is proposed.")]
Metric = Annotated[str, typer.Option(help="Validation figure that decides; the recipe's `monitor` where absent.")]
PrunerName = Annotated[Literal["median", "hyperband", "none"], typer.Option(help="What cuts hopeless trials short.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe's field in every trial: key=value.")]
SplitSeed = Annotated[int, typer.Option(help="Of the split; training's own --seed.")]
KeepSplit = Annotated[bool, typer.Option("--keep-split", help="Keep the source's own split.")]
Out = Annotated[Path | None, typer.Option(help="Folder for a copy of trials.json and search.png.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result and errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def tune(
    recipe: Recipe,
    data: Data,
    space: SpaceTexts,
    trials: Trials = 20,
    parallel: Parallel = 1,
    timeout: Timeout = 0.0,
    seed: Seed = 0,
    metric: Metric = "",
    pruner: PrunerName = "median",
    changes: Set = None,
    split_seed: SplitSeed = 0,
    keep_split: KeepSplit = False,
    out: Out = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search a recipe's settings by the validation part; the test part is never read.

    After Ctrl-C (exit status 130) or a kill the same command goes on; more --trials extend the search.
    """
    from imaging.recipes.overrides import parse_overrides
    from imaging.tuning.results import require_best
    from imaging.tuning.search import Plan
    from imaging.tuning.space import parse_space

    settings = _settings()
    what: dict[str, Any] = {"space": parse_space(space), "overrides": parse_overrides(changes or []), "metric": metric}
    how: dict[str, Any] = {
        "pruner": pruner,
        "seed": seed,
        "trials": trials,
        "parallel": parallel,
        "timeout_s": timeout or math.inf,
    }
    split = _split(data, settings.home, seed=split_seed, keep_split=keep_split)
    plan = Plan(recipe=recipe, dataset=data, split=split, **what, **how)
    found = _search(plan, settings, quiet=quiet)
    folder = _copied(settings.home / "tuning" / found.study, out)
    require_best(found)
    emit({**found.to_json(), "folder": str(folder)}, as_json=as_json, text=_table(found))
    if not as_json and not quiet:
        options = (" --keep-split" if keep_split else "") + (f" --seed {split_seed}" if split_seed else "")
        _tell_best(found, plan, folder, options=options)


def _search(plan: "Plan", settings: "Settings", *, quiet: bool) -> "SearchResult":
    """Search and record; on Ctrl-C say what is kept and end with the status for that."""
    from imaging.tuning.search import search

    record = Recorder(settings)
    try:
        found = search(plan, settings=settings, on_news=None if quiet else Telling(plan), on_trial=record)
    except KeyboardInterrupt:
        say("stopped; every trial is kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
    record(found, files=settings.home / "tuning" / found.study)
    return found


class Telling:
    """Says each epoch and each trial's end, on stderr."""

    def __init__(self, plan: "Plan") -> None:
        self._trials = plan.trials

    def __call__(self, news: "News") -> None:
        """Say one piece of news."""
        trial, epoch = news.trial, news.epoch
        if epoch is not None:
            figures = f"val_loss {epoch['val_loss']:.4f}, AUROC {epoch['val_macro_auroc']:.4f}"
            say(f"trial {trial.number}, epoch {epoch['epoch']} ({epoch['stage']}): {figures}, {epoch['seconds']:.1f} s")
        elif trial.state == "running":
            again = f", goes on with trial {trial.retry_of}" if trial.retry_of is not None else ""
            fields = ", ".join(f"{name}={_short(value)}" for name, value in trial.fields.items())
            say(f"trial {trial.number} of {self._trials} begins: {fields}{again}")
        else:
            value = "" if trial.value is None else f" at {trial.value:.4f}"
            error = trial.error.replace("[", r"\[")
            say(f"trial {trial.number} {trial.state}{value} {error}".rstrip())


def _settings() -> "Settings":
    """Return the settings, as the trainer of this home's stack where one is up."""
    from imaging.settings import Settings
    from thorax.stack.environment import apply

    with contextlib.suppress(ServiceError):
        apply(Settings().home, "trainer")
    return Settings()


def _split(data: Path, home: Path, *, seed: int, keep_split: bool) -> Path:
    """Return the split that training would make, kept under `home`: the same patients stay in the test part.

    Raises:
        NotFoundError: if `data` is no dataset version.
    """
    from imaging.data.dataset import MANIFEST, load_dataset
    from imaging.data.splits import split_on_disk

    if not (data / MANIFEST).is_file():
        raise NotFoundError(f"expected a dataset version, there is none at {data}; `thorax data ingest` makes one")
    digest = load_dataset(data).digest.removeprefix("sha256:")[:16]
    path = home / "tuning" / "splits" / f"{digest}-{seed}{'-kept' if keep_split else ''}.json"
    split_on_disk(data, path, seed=seed, keep_hints=keep_split)
    return path


def _copied(folder: Path, out: Path | None) -> Path:
    """Copy the results to `out`, where one is wanted; return where they are to be looked for."""
    if out is None:
        return folder
    out.mkdir(parents=True, exist_ok=True)
    for name in ("trials.json", "search.png"):
        shutil.copyfile(folder / name, out / name)
    return out


class Recorder:
    """Keeps the search's MLflow runs up to date, where a registry is set; says so where that does not work."""

    def __init__(self, settings: "Settings") -> None:
        from imaging.tuning.recording import SearchRun

        self._run = SearchRun(settings)
        self._is_behind = False

    def __call__(self, result: "SearchResult", *, files: Path | None = None) -> None:
        """Record the search as it stands; it is over where its `files` are given."""
        recorded = self._run.update(result, files=files)
        if self._run.is_on and not recorded and not self._is_behind:
            say("MLflow does not take the search now; it is tried again after the next trial")
        self._is_behind = not recorded


def _tell_best(found: "SearchResult", plan: "Plan", folder: Path, *, options: str) -> None:
    """Say how to train with the best settings."""
    say(f"picture and trials: {folder}")
    command = f"thorax pipelines run train-classifier --recipe {plan.recipe} --data {plan.dataset}{options}"
    talk.print(f"train with it: {command} {found.set_line}", markup=False, soft_wrap=True)


def _table(found: "SearchResult") -> "Table":
    from rich.table import Table

    table = Table("trial", "state", found.metric, *found.space, "seconds", box=None, pad_edge=False)
    best = found.best
    for trial in found.trials:
        value = "-" if trial.value is None else f"{trial.value:.4f}"
        style = "bold green" if best is not None and trial.number == best.number else ""
        fields = [_short(trial.fields.get(name)) for name in found.space]
        table.add_row(str(trial.number), trial.state, value, *fields, f"{trial.seconds:.1f}", style=style)
    return table


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
