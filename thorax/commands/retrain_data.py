"""What a retraining would learn from: the champion's data and settings, and what a label table tells beforehand."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging.errors import DataError, NotFoundError

if TYPE_CHECKING:
    from monitoring.watch import Ended
    from pipelines.run_record import StepResult

MERGING = "retrain"
"""The pipeline that merges new images into the champion's dataset."""


def counts_of(data: str, labels: str) -> dict[str, int]:
    """Return the images of each class that a label table names; nothing where no table is at hand to be read.

    Args:
        data: The images' folder.
        labels: The table, or its name inside the folder.

    Raises:
        DataError: the table cannot be read.
    """
    places = [Path(labels), Path(data) / labels]
    table = next((path for path in places if labels and path.is_file()), None)
    if table is None:
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = [row.get("label") or "" for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the label table {table.name} cannot be read ({type(error).__name__})") from error
    return dict(Counter(label for label in rows if label))


def champion_dataset(home: Path, version: str) -> str:
    """Return the dataset version that the run behind `version` was trained on, where this home still has it."""
    from pipelines.run_record import runs_of_version

    for run in runs_of_version(home, version):
        dataset = run.artifact("merge-datasets" if run.pipeline == MERGING else "ingest-images", "dataset")
        if dataset is not None and dataset.is_dir():
            return str(dataset)
    return ""


def retraining(home: Path, version: str, base: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `MERGING` that merge new images into the dataset behind `version`.

    Args:
        home: The home folder.
        version: The one that serves.
        base: What `champion_dataset` said.
        given: Source, labels, recipe and trigger.

    Raises:
        NotFoundError: this home does not have the dataset any more.
    """
    if not base:
        raise NotFoundError(
            "the dataset that the champion was trained on is not in this home, so new images cannot be merged into it; "
            "name a whole dataset and say --whole-dataset"
        )
    kept = champion_arguments(home, version, recipe=given["recipe"])
    own = [name for name in ("seed", "keep_split", "overrides") if name in kept]
    named = {name: given[name] for name in ("source", "labels", "recipe", "trigger")}
    return {"base": base, **named, **{name: kept[name] for name in own}}


def champion_arguments(home: Path, version: str, *, recipe: str) -> dict[str, Any]:
    """Return what the run behind `version` was given; what belongs to its recipe only where that is the one wanted."""
    from pipelines.run_record import runs_of_version

    run = next((run for run in runs_of_version(home, version) if run.arguments), None)
    given = dict(run.arguments) if run else {}
    if run and run.pipeline == MERGING:
        given["keep_split"] = True  # a merged version's table says where each patient belongs
    names = ["seed", "keep_split"] + (["size", "overrides"] if given.get("recipe") == recipe else [])
    return {name: given[name] for name in names if name in given}


def train(
    home: Path, pipeline: str, arguments: dict[str, Any], on_step: "Callable[[StepResult], None] | None"
) -> "Ended":
    """Run a pipeline of this home to its end."""
    from monitoring.watch import Ended
    from pipelines.runner import run_local
    from thorax.stack.environment import apply

    apply(home, "trainer")
    run = run_local(pipeline, arguments, home=home, on_step=on_step)
    return Ended(passed=run.passed, version=run.version, run=run.run_dir.name)
