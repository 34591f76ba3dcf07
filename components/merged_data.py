"""A merge that is the champion's: its own split decides what stays locked."""

from pathlib import Path

from audit import record
from components.dataset_versions import link_tree
from imaging.data.bucket import publish
from imaging.data.merging import Merged, merge_on_disk
from imaging.data.split_parts import Split
from imaging.errors import DataError
from imaging.models.directory import load_info
from imaging.registry import current_champion
from imaging.settings import Settings


def merge(base: Path, base_split: Path, new: Path, dataset: Path, split: Path, recent: Path) -> Merged:
    """Merge `new` into `base`, keep both results in the home's datasets, and link them to `dataset` and `recent`.

    Raises:
        DataError: the split is not the one that the champion was trained and tested by, or the two do not fit.
    """
    settings = Settings()
    with current_champion(settings) as (version, directory):
        trained_by = load_info(directory).digests.get("split", "") if directory else ""
    if not version:
        raise DataError("there is no champion to retrain; `train-classifier` trains a first model")
    if trained_by != Split.load(base_split).digest:
        raise DataError(
            f"the base's split is not the one that the champion, version {version}, was tested by: "
            "its test patients could not be kept apart; give the base, seed and keep_split of its own run"
        )
    made = merge_on_disk(base, base_split, new, settings.home / "datasets", split)
    for one, target in ((made.dataset, dataset), (made.recent, recent)):
        if settings.s3_endpoint:
            publish(one.path, settings)
        link_tree(one.path, target)
    details = {"lineage": made.dataset.manifest["lineage"], "taken": made.taken, "champion": version}
    record("dataset.created", subject=made.dataset.digest, details=details)
    return made
