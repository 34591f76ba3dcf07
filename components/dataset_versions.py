"""A dataset version as a step's output: ingested, or taken as it is where the source already is one."""

import os
import shutil
from pathlib import Path

from imaging.atomic import new_directory
from imaging.data.bucket import fetch, is_version, publish
from imaging.data.dataset import MANIFEST, Dataset, load_dataset
from imaging.data.ingest import ingest
from imaging.data.pseudonyms import pseudonym_key
from imaging.settings import Settings


def provide_dataset(source: str, target: Path, *, labels: str, name: str, size: int, settings: Settings) -> Dataset:
    """Make `target` a dataset version of `source` and return it.

    Ingested versions are kept once, in the home's `datasets`; `target` shares their bytes. Where there is an S3
    API, they are published in its bucket `datasets`, from where another machine takes them.

    Args:
        source: A folder or `s3://` address of images, or of a dataset version, which is checked byte by byte.
        target: Where the version is wanted.
        labels: A label table, or "" for class folders.
        name: What a new version's name starts with.
        size: Side of a new version's images, in pixels.
        settings: The home, the pseudonyms' key, the bucket's address and keys.

    Raises:
        DataError: a source, label table or dataset version that cannot be used.
    """
    if "://" not in source and (Path(source) / MANIFEST).is_file():
        version = load_dataset(Path(source), check_digest=True).path
    elif source.startswith("s3://") and is_version(source, settings):
        version = fetch(source, settings.home / "datasets", settings).path
    else:
        key = pseudonym_key(settings)
        version = ingest(
            source,
            settings.home / "datasets",
            labels=labels or None,
            name=name,
            size=size,
            pseudonym_key=key,
            settings=settings,
        ).path
    if settings.s3_endpoint:
        publish(version, settings)
    link_tree(version, target)
    return load_dataset(target)


def link_tree(source: Path, target: Path) -> None:
    """Make `target` hold the files of `source` without a second copy on disk, whole or not at all.

    Dataset versions never change once written, so a hard link is as good as a copy; across file systems,
    where links cannot be, the files are copied.
    """
    with new_directory(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
