"""New images within the change control plan's data rules; what breaks one is on record before it stops the run."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from audit import record
from components.dataset_versions import Reading, provide_dataset
from imaging.data.dataset import MANIFEST, Dataset, load_dataset
from imaging.data.label_rules import accept_labels
from imaging.data.sources import open_source, read_labels
from imaging.errors import DataError
from imaging.settings import Settings


def take(source: str, base: Path, target: Path, *, labels: str, layout: str, finding: str) -> Dataset:
    """Make `target` a dataset version of what may be learned from of `source`, packed as `base` is.

    Raises:
        DataError: the data rules leave nothing, or too few of a class.
    """
    from monitoring.change_control import installed_plan

    settings, old, plan = Settings(), load_dataset(base), installed_plan()
    with _allowed(source, labels, settings) as accepted:
        how = Reading(
            labels=accepted, name="new", size=old.size, layout=layout, finding=finding, grey=old.channels == 1
        )
        made = provide_dataset(source, target, how, settings=settings)
    counts = {name: made.manifest["counts"][name]["images"] for name in made.classes}
    least = plan.data_rules.minimum_per_class
    few = {name: count for name, count in counts.items() if count < least}
    if few:
        told = ", ".join(f"{count} of {name}" for name, count in sorted(few.items()))
        _refuse("minimum_per_class", f"{told} are too few new images, the plan asks for {least}")
    record("dataset.created", subject=made.digest, details={"name": made.manifest["name"], "counts": counts})
    return made


@contextlib.contextmanager
def _allowed(source: str, labels: str, settings: Settings) -> Iterator[str]:
    """Yield the table of the rows that the plan allows; the labels as they are where there is no table."""
    from monitoring.change_control import installed_plan

    rules = installed_plan().data_rules
    if not labels:
        if not rules.unsaid_labels and not ("://" not in source and (Path(source) / MANIFEST).is_file()):
            _refuse("labels_by", "the plan wants to know whose labels they are; give a label table that says it")
        yield ""
        return
    text = read_labels(labels, open_source(source, settings), settings)
    try:
        found = accept_labels(text, by=rules.labels_by, quarantine=rules.quarantine, unsaid=rules.unsaid_labels)
    except DataError as error:
        _refuse("data_rules", str(error))
    told = {"set_aside": found.set_aside, "rows": found.rows, "unsaid": found.unsaid}
    record("run.finished", subject="data-rules", details=told)
    with tempfile.TemporaryDirectory(prefix="thorax-labels-") as scratch:
        table = Path(scratch) / "labels.csv"
        table.write_text(found.text)
        yield str(table)


def _refuse(rule: str, reason: str) -> None:
    record("retrain.refused", subject="new-images", details={"rule": rule, "reason": reason})
    raise DataError(f"refused by the change control plan ({rule}): {reason}")
