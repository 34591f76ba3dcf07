"""Make a dataset version out of a folder or bucket of radiographs.

Bad files are set aside, counted and listed; they never stop the others. The result appears whole or
not at all, under a name that ends in the digest of its content: ingesting the same twice gives the same.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from imaging.data.candidates import PROBLEMS, Candidate, Problem, Reader
from imaging.data.dataset import load_dataset, write_dataset
from imaging.data.ingest_report import write_report
from imaging.data.label_tables import Entry, entries_of_tree, parse_table
from imaging.data.selection import Selection, check_classes, select
from imaging.data.sources import Source, open_source, read_labels
from imaging.data.staging import UNPACKED, pack, publish, staging
from imaging.dicom.image import Limits
from imaging.errors import DataError
from imaging.settings import Settings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestResult:
    """A dataset version that was written, or was there already."""

    path: Path
    digest: str
    counts: dict[str, dict[str, int]]
    """For each class, its images and patients."""
    problems: dict[str, int]
    """For each kind of problem, the images set aside."""


def ingest(
    source: str,
    out: Path,
    *,
    labels: Path | str | None = None,
    name: str = "dataset",
    size: int = 224,
    pseudonym_key: bytes,
    minimum_side: int = 64,
    on_progress: Progress | None = None,
    settings: Settings | None = None,
) -> IngestResult:
    """Write the dataset version `out/<name>-<digest>`.

    Args:
        source: A folder, or `s3://bucket/prefix`, of DICOM, PNG or JPEG files.
        out: The folder of dataset versions.
        labels: A label table: a file, an s3:// address, or a name inside the source. Class folders where absent.
        name: What the version's name begins with.
        size: Side of the packed images, in pixels.
        pseudonym_key: Key of the patient hashes.
        minimum_side: Images with a shorter side, in pixels, are set aside.
        on_progress: Called with images done and images in all.
        settings: S3 endpoint and keys, and the limits of decoding; boto3's own variables where absent.

    Raises:
        DataError: no usable image, a class without one, a bad table; NotFoundError, ServiceError: no source.
    """
    _check_options(name, size)
    place = open_source(source, settings)
    table = None if labels is None else read_labels(labels, place, settings)
    entries, expected = _plan(place, table)
    reader = Reader(source=place, size=size, limits=_limits(settings, minimum_side), key=pseudonym_key)
    provenance = {"kind": place.kind, "labels_sha256": _sha256(table)}
    with staging(out) as folder:
        candidates, unread = _read(reader, entries, folder, on_progress)
        selection = select(candidates)
        problems = sorted([*unread, *selection.problems], key=lambda problem: problem.row)
        check_classes(selection.kept, expected, len(problems))
        return _write(folder, selection, problems, out=out, name=name, size=size, provenance=provenance)


def _check_options(name: str, size: int) -> None:
    if not name.replace("-", "").replace("_", "").isalnum() or not name[0].isalnum():
        raise DataError("a dataset's name has letters, digits, - and _ only")
    if not 16 <= size <= 2048:
        raise DataError(f"the size must be between 16 and 2048 pixels, got {size}")


def _plan(place: Source, table: str | None) -> tuple[list[Entry], set[str]]:
    """Return what is to be read, and the classes that must not stay empty."""
    if table is None:
        return entries_of_tree(place.names(), place.folders())
    entries = parse_table(table)
    return entries, {entry.label for entry in entries if entry.label}


def _limits(settings: Settings | None, minimum_side: int) -> Limits:
    if settings is None:
        return Limits(min_side=minimum_side)
    return Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels, min_side=minimum_side)


def _read(
    reader: Reader, entries: Sequence[Entry], folder: Path, on_progress: Progress | None
) -> tuple[list[Candidate], list[Problem]]:
    """Read every entry; the pixels go to disk as they come, so memory does not grow with the dataset."""
    candidates: list[Candidate] = []
    problems: list[Problem] = []
    # The filters are the process's, not the thread's: set once around the pool, so that they come back as they were.
    with (folder / UNPACKED).open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for done, result in enumerate(reader.read_all(entries, workers=min(8, os.cpu_count() or 1)), start=1):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                file.write(b"" if result.packed is None else result.packed.tobytes())
                candidates.append(replace(result, packed=None, position=len(candidates)))
            if on_progress is not None:
                on_progress(done, len(entries))
    return candidates, problems


def _write(
    folder: Path,
    selection: Selection,
    problems: list[Problem],
    *,
    out: Path,
    name: str,
    size: int,
    provenance: dict[str, str],
) -> IngestResult:
    """Write what was selected, and give it its name."""
    columns = pack(folder, selection.kept, size)
    counted = {kind: sum(problem.kind == kind for problem in problems) for kind in PROBLEMS}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"name": name, "created": created, "source": provenance, "problems": counted}
    digest = write_dataset(folder, columns, size=size, facts=facts)
    write_report(folder, selection, problems, digest=digest)
    path = out / f"{name}-{digest.removeprefix('sha256:')[:12]}"
    publish(folder, path, digest)
    return IngestResult(path=path, digest=digest, counts=load_dataset(path).manifest["counts"], problems=counted)


def _sha256(table: str | None) -> str:
    return "" if table is None else "sha256:" + hashlib.sha256(table.encode()).hexdigest()
