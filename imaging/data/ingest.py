"""Make a dataset version out of a folder, zip file or bucket of radiographs or other pictures.

Bad files are set aside, counted and listed; they never stop the others. The result appears whole or
not at all, under a name that ends in the digest of its content: ingesting the same twice gives the same.
"""

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from imaging.data.candidates import PROBLEMS, Candidate, Problem, Reader
from imaging.data.dataset import load_dataset, write_dataset
from imaging.data.ingest_report import write_report
from imaging.data.layouts import LAYOUTS, Place, Plan, Subject, choose
from imaging.data.packed_sources import candidates_of
from imaging.data.selection import Selection, check_classes, select
from imaging.data.sources import open_source, read_labels
from imaging.data.staging import Pack, publish, staging, table_of
from imaging.data.workers import read_all
from imaging.dicom.image import Limits
from imaging.errors import DataError
from imaging.settings import Settings

Progress = Callable[[int, int], None]
SMALLEST_SIDE: dict[Subject, int] = {"radiograph": 64, "picture": 8}
"""Images with a shorter side are set aside, where nobody says otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestResult:
    """A dataset version that was written, or was there already."""

    path: Path
    digest: str
    counts: dict[str, dict[str, int]]
    """For each class, its images and patients."""
    problems: dict[str, int]
    """For each kind of problem, the images set aside."""
    layout: str
    """How the source was read."""
    channels: int
    notes: tuple[str, ...] = ()
    """What a person should know of how it was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """One ingest: what is read, and as what."""

    plan: Plan
    reader: Reader
    workers: int
    on_progress: Progress | None

    @property
    def channels(self) -> int:
        """Channels of the images as they come; grey pictures among colour ones come as colour, too."""
        return 3 if self.reader.subject == "picture" and self.plan.parts is None else 1


def ingest(
    source: str,
    out: Path,
    *,
    labels: Path | str | None = None,
    name: str = "dataset",
    size: int | None = None,
    pseudonym_key: bytes,
    minimum_side: int | None = None,
    layout: str = "auto",
    subject: Subject | None = None,
    grey: bool = False,
    finding: str = "",
    workers: int | None = None,
    on_progress: Progress | None = None,
    settings: Settings | None = None,
) -> IngestResult:
    """Write the dataset version `out/<name>-<digest>`.

    Args:
        source: A folder, a zip file, or `s3://bucket/prefix`, of DICOM, PNG, JPEG or a benchmark's own files.
        out: The folder of dataset versions.
        labels: A label table: a file, an s3:// address, or a name inside the source. Class folders where absent.
        name: What the version's name begins with.
        size: Side of the packed images, in pixels; where absent, 224, or the benchmark's own.
        pseudonym_key: Key of the patient hashes.
        minimum_side: Images with a shorter side, in pixels, are set aside.
        layout: A name of `LAYOUTS`, or `auto`.
        subject: What the images show; where absent, the layout decides. Only radiographs are screened for a chest.
        grey: Make colour pictures grey.
        finding: For layouts with findings, the one to tell from the rest.
        workers: How many images are decoded at once; where absent, as many as there are cores, at most 8.
        on_progress: Called with images done and images in all (0 where that is not known).
        settings: S3 endpoint and keys, and the limits of decoding; boto3's own variables where absent.

    Raises:
        DataError: no usable image, a class without one, a bad table; NotFoundError, ServiceError: no source;
        ConfigurationError: a layout or finding that is not there.
    """
    opened = open_source(source, settings)
    table = None if labels is None else read_labels(labels, opened, settings)
    place = Place(source=opened, table=table, subject=subject, finding=finding)
    chosen = choose(place, layout)
    shown: Subject = subject or LAYOUTS[chosen].subject
    side = LAYOUTS[chosen].size if size is None else size
    _check_options(name, side)
    plan = LAYOUTS[chosen].read(replace(place, subject=shown))
    limits = _limits(settings, SMALLEST_SIDE[shown] if minimum_side is None else minimum_side)
    reader = Reader(source=opened, size=side, limits=limits, key=pseudonym_key, subject=shown, grey=grey)
    work = _Work(plan=plan, reader=reader, workers=workers or _cores(), on_progress=on_progress)
    provenance = {"kind": opened.kind, "layout": chosen, "labels_sha256": _sha256(table)}
    with staging(out) as folder:
        facts = {"name": name, "source": provenance, "notes": list(plan.notes)}
        return _made(work, folder, out, facts)


def _cores() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, usable)


def _check_options(name: str, size: int) -> None:
    if not name.replace("-", "").replace("_", "").isalnum() or not name[0].isalnum():
        raise DataError("a dataset's name has letters, digits, - and _ only")
    if not 16 <= size <= 2048:
        raise DataError(f"the size must be between 16 and 2048 pixels, got {size}")


def _limits(settings: Settings | None, minimum_side: int) -> Limits:
    if settings is None:
        return Limits(min_side=minimum_side)
    return Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels, min_side=minimum_side)


def _made(work: _Work, folder: Path, out: Path, facts: dict[str, Any]) -> IngestResult:
    """Read, select, write, and give the result its name."""
    pack = Pack(folder, work.reader.size)
    try:
        candidates, unread = _arrays(work, pack) if work.plan.parts is not None else _files(work, pack)
    finally:
        pack.close()
    selection = select(candidates)
    problems = sorted([*unread, *selection.problems], key=lambda problem: problem.row)
    check_classes(selection.kept, work.plan.classes, problems)
    channels = 1 if all(candidate.is_grey for candidate in selection.kept) else 3
    stored = channels if work.plan.parts is not None else work.channels
    positions = np.array([candidate.position for candidate in selection.kept])
    pixels = pack.keep(positions, stored=stored, channels=channels)
    return _named(folder, selection, problems, out=out, size=work.reader.size, facts=facts, pixels=pixels)


def _files(work: _Work, pack: Pack) -> tuple[list[Candidate], list[Problem]]:
    """Read every file; the pixels go to disk as they come, so memory does not grow with the dataset."""
    candidates: list[Candidate] = []
    problems: list[Problem] = []
    entries = work.plan.entries
    # The filters are the process's, not the thread's: set once around the pool, so that they come back as they were.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for done, result in enumerate(read_all(work.reader, entries, workers=work.workers), start=1):
            if isinstance(result, Problem):
                problems.append(result)
            elif result.packed is not None:
                pack.append(result.packed)
                candidates.append(replace(result, packed=None, position=len(candidates)))
            if work.on_progress is not None:
                work.on_progress(done, len(entries))
    return candidates, problems


def _arrays(work: _Work, pack: Pack) -> tuple[list[Candidate], list[Problem]]:
    """Take images that are arrays already; only their hashes and rows are made one by one."""
    candidates: list[Candidate] = []
    reader, parts = work.reader, work.plan.parts
    if parts is None:
        return [], []
    for some in candidates_of(parts(), size=reader.size, key=reader.key, grey=reader.grey, append=pack.append):
        candidates += [replace(one, position=place) for place, one in enumerate(some, start=len(candidates))]
        if work.on_progress is not None:
            work.on_progress(len(candidates), 0)
    return candidates, []


def _named(
    folder: Path,
    selection: Selection,
    problems: list[Problem],
    *,
    out: Path,
    size: int,
    facts: dict[str, Any],
    pixels: str,
) -> IngestResult:
    """Write table, manifest and report of what was selected, and give the version its name."""
    counted = {kind: sum(problem.kind == kind for problem in problems) for kind in PROBLEMS}
    facts = {**facts, "created": datetime.now(UTC).isoformat(timespec="seconds"), "problems": counted}
    digest = write_dataset(folder, table_of(selection.kept), size=size, facts=facts, pixels=pixels)
    write_report(folder, selection, problems, digest=digest)
    path = out / f"{facts['name']}-{digest.removeprefix('sha256:')[:12]}"
    publish(folder, path, digest)
    dataset = load_dataset(path)
    return IngestResult(
        path=path,
        digest=digest,
        counts=dataset.manifest["counts"],
        problems=counted,
        layout=facts["source"]["layout"],
        channels=dataset.channels,
        notes=tuple(facts["notes"]),
    )


def _sha256(table: str | None) -> str:
    return "" if table is None else "sha256:" + hashlib.sha256(table.encode()).hexdigest()
