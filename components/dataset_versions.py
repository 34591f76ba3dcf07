"""A dataset version as a step's output: ingested, or taken as it is where the source already is one."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from imaging.atomic import new_directory
from imaging.data.bucket import fetch, is_version, publish
from imaging.data.dataset import MANIFEST, Dataset, load_dataset
from imaging.data.ingest import ingest
from imaging.data.layouts import Subject
from imaging.data.pseudonyms import pseudonym_key
from imaging.errors import ConfigurationError
from imaging.settings import Settings

SUBJECTS: dict[str, Subject] = {"radiograph": "radiograph", "picture": "picture"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a new version is made of a source; as `ingest` takes it, but for what a pipeline cannot carry.

    Attributes:
        labels: A label table, or "" where the layout says how files are labelled.
        name: What a new version's name starts with.
        size: Side of a new version's images, in pixels; 0 where the layout decides.
        subject: What the images show.
        layout: A name of `imaging.data.layouts.LAYOUTS`, or `auto`.
        grey: Whether colour pictures become grey.
        finding: For layouts with findings, the one to tell from the rest.
    """

    labels: str = ""
    name: str = "dataset"
    size: int = 224
    subject: str = "radiograph"
    layout: str = "auto"
    grey: bool = False
    finding: str = ""


def provide_dataset(source: str, target: Path, how: Reading, *, settings: Settings) -> Dataset:
    """Make `target` a dataset version of `source` and return it.

    Ingested versions are kept once, in the home's `datasets`; `target` shares their bytes. Where there is an S3
    API, they are published in its bucket `datasets`, from where another machine takes them.

    Args:
        source: A folder, a zip file or an `s3://` address of images, or of a dataset version, which is checked byte
            by byte.
        target: Where the version is wanted.
        how: How to read a source that is no version yet.
        settings: The home, the pseudonyms' key, the bucket's address and keys.

    Raises:
        ConfigurationError: a subject or layout that is not there.
        DataError: a source, label table or dataset version that cannot be used.
    """
    if "://" not in source and (Path(source) / MANIFEST).is_file():
        version = load_dataset(Path(source), check_digest=True).path
    elif source.startswith("s3://") and is_version(source, settings):
        version = fetch(source, settings.home / "datasets", settings).path
    elif how.subject not in SUBJECTS:
        raise ConfigurationError(f"no subject {how.subject!r}; there are: {', '.join(SUBJECTS)}")
    else:
        version = ingest(
            source,
            settings.home / "datasets",
            labels=how.labels or None,
            name=how.name,
            size=how.size or None,
            pseudonym_key=pseudonym_key(settings),
            subject=SUBJECTS[how.subject],
            layout=how.layout,
            grey=how.grey,
            finding=how.finding,
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
