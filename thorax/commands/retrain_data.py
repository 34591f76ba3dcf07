"""What a retraining would learn from: the champion's data and settings, and what a label table tells beforehand."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

from imaging.errors import DataError


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
        dataset = run.artifact("ingest-images", "dataset")
        if dataset is not None and dataset.is_dir():
            return str(dataset)
    return ""


def champion_arguments(home: Path, version: str, *, recipe: str) -> dict[str, Any]:
    """Return what the run behind `version` was given; what belongs to its recipe only where that is the one wanted."""
    from pipelines.run_record import runs_of_version

    given = next((run.arguments for run in runs_of_version(home, version) if run.arguments), {})
    names = ["seed", "keep_split"] + (["size", "overrides"] if given.get("recipe") == recipe else [])
    return {name: given[name] for name in names if name in given}
