"""A dataset version on disk: packed images, one table, one manifest; its name ends in its digest.

`images.npy` uint8, (N, S, S) grey or (N, S, S, 3) RGB · `table.parquet` one row an image · `manifest.json`
schema, classes, counts and digests · `ingest_report.json` and `.html`. No name, identifier or date of a patient.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imaging.atomic import write_text
from imaging.data.statistics import STATISTICS
from imaging.errors import DataError, NotFoundError

SCHEMA_VERSION = 1
TEXT_COLUMNS = (
    "label",
    "patient",
    "view",
    "sex",
    "age_band",
    "site",
    "manufacturer",
    "modality",
    "source",
    "split_hint",
)
COLUMNS = (*TEXT_COLUMNS, "rows", "columns", "pixel_sha256", *STATISTICS)
PLACES = ("lesions", "lungs")
"""Columns of boxes (`imaging.data.regions`), written only where an image has any, so that other digests stay."""
IMAGES, TABLE, MANIFEST = "images.npy", "table.parquet", "manifest.json"
REPORTS = ("ingest_report.json", "ingest_report.html")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A loaded dataset version. The images stay on disk until they are looked at."""

    path: Path
    images: np.ndarray = field(repr=False)
    """uint8, memory-mapped: (N, S, S) grey or (N, S, S, 3) RGB."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64, indices into `classes`."""
    patients: np.ndarray = field(repr=False)
    """(N,) keyed hashes."""
    classes: tuple[str, ...]
    size: int
    digest: str
    manifest: dict[str, Any] = field(repr=False)
    _table: Mapping[str, np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1 where the images are grey, 3 where they are colour."""
        return 3 if self.images.ndim == 4 else 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the table's columns."""
        return tuple(self._table)

    def column(self, name: str) -> np.ndarray:
        """Return one column of the table, (N,).

        Raises:
            NotFoundError: a column that is not there; the message lists those that are.
        """
        if name not in self._table:
            raise NotFoundError(f"no column {name!r}; there are: {', '.join(self._table)}")
        return self._table[name]


def load_dataset(path: Path, *, check_digest: bool = False) -> Dataset:
    """Load a dataset version.

    Args:
        path: The folder that ingest wrote.
        check_digest: Read every byte again and compare; without it only names, sizes and shapes are.

    Raises:
        NotFoundError: nothing there. DataError: incomplete, of an unknown schema, or changed since it was written.
    """
    manifest = _manifest(path)
    classes, size, count = tuple(manifest["classes"]), int(manifest["size"]), int(manifest["images"])
    try:
        images = np.load(path / IMAGES, mmap_mode="r", allow_pickle=False)
        table = _read_table(path / TABLE)
    except (OSError, ValueError) as error:
        raise DataError(f"the dataset {path.name} is incomplete: {type(error).__name__}; ingest it again") from error
    if (
        images.shape != packed_shape(count, size, manifest.get("channels", 1))
        or images.dtype != np.uint8
        or len(table["label"]) != count
    ):
        raise DataError(f"the dataset {path.name} does not hold the {count} images its manifest names")
    if tuple(sorted(set(table["label"].tolist()))) != classes:
        raise DataError(f"the labels of the dataset {path.name} are not the classes its manifest names")
    if check_digest and (pixels_digest(images), table_digest(table)) != (manifest["pixels"], manifest["table"]):
        raise DataError(f"the dataset {path.name} was changed after it was written; ingest it again")
    return Dataset(
        path=path,
        images=images,
        labels=np.searchsorted(np.array(classes), table["label"]).astype(np.int64),
        patients=table["patient"],
        classes=classes,
        size=size,
        digest=manifest["digest"],
        manifest=manifest,
        _table=table,
    )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        return checked_manifest((path / MANIFEST).read_bytes(), of=path.name)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"no dataset at {path.name}: there is no {MANIFEST}; make one with `thorax data ingest`"
        ) from error


def checked_manifest(data: bytes, *, of: str) -> dict[str, Any]:
    """Parse the manifest of the dataset called `of`.

    Raises:
        DataError: not JSON, of an unknown schema, or not of the content that its digest names.
    """
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise DataError(f"the manifest of {of} is not JSON") from error
    if not isinstance(manifest, dict):
        raise DataError(f"the manifest of {of} is not a JSON object")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"expected dataset schema {SCHEMA_VERSION}, got {manifest.get('schema_version')}; ingest again")
    parts = {key: manifest.get(key) for key in ("size", "classes", "pixels", "table")}
    if dataset_digest(**parts, channels=manifest.get("channels", 1)) != manifest.get("digest"):
        raise DataError(f"the manifest of {of} does not agree with its own digest")
    return manifest


def write_dataset(
    folder: Path, table: Mapping[str, np.ndarray], *, size: int, facts: dict[str, Any], pixels: str = ""
) -> str:
    """Write the table and the manifest beside `images.npy` in `folder`; return the dataset's digest.

    Args:
        folder: Holds `images.npy` already.
        table: The columns of `COLUMNS`, and where known those of `PLACES`.
        size: Side of the images; their channels are read from `images.npy`.
        facts: More for the manifest (name, time, provenance, problems); not part of the digest.
        pixels: The digest of the packed images, where it is known already.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({name: table[name].tolist() for name in written(table)}), folder / TABLE, compression="zstd"
    )
    images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    classes, channels = sorted(set(table["label"].tolist())), 3 if images.ndim == 4 else 1
    parts = {"size": size, "classes": classes, "pixels": pixels or pixels_digest(images), "table": table_digest(table)}
    digest = dataset_digest(**parts, channels=channels)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "digest": digest,
        **parts,
        **({"channels": channels} if channels != 1 else {}),
        "images": len(table["label"]),
        "patients": len(set(table["patient"].tolist())),
        "counts": _counts(table, classes),
        **facts,
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return digest


def _counts(table: Mapping[str, np.ndarray], classes: list[str]) -> dict[str, dict[str, int]]:
    counts = {}
    for name in classes:
        members = table["label"] == name
        counts[name] = {"images": int(members.sum()), "patients": len(set(table["patient"][members].tolist()))}
    return counts


def written(table: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return the columns of a table that a dataset keeps."""
    return (*COLUMNS, *(name for name in PLACES if name in table and any(table[name].tolist())))


def packed_shape(count: int, size: int, channels: int) -> tuple[int, ...]:
    """Return the shape of `count` packed images: the channels are an axis only where there are three."""
    return (count, size, size, 3) if channels == 3 else (count, size, size)


def _read_table(path: Path) -> dict[str, np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = (*COLUMNS, *(name for name in PLACES if name in pq.read_schema(path).names))
        table = pq.read_table(path, columns=list(names))
    except pa.ArrowException as error:
        raise DataError("the dataset's table cannot be read; ingest it again") from error
    if set(table.column_names) != set(names):
        raise DataError("the dataset's table lacks columns; ingest it again")
    return {name: np.array(table.column(name).to_pylist()) for name in names}


def dataset_digest(*, size: object, classes: object, pixels: object, table: object, channels: object = 1) -> str:
    """Return the digest of a dataset version: of its content, not of its name, time or place.

    The channels are in it only where they are not 1, so that grey datasets keep the digest they always had.
    """
    parts = {"schema_version": SCHEMA_VERSION, "size": size, "classes": classes, "pixels": pixels, "table": table}
    parts |= {} if channels == 1 else {"channels": channels}
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def pixels_digest(images: np.ndarray) -> str:
    """Return the digest of the packed images, read in pieces."""
    digest = hashlib.sha256()
    for start in range(0, len(images), 256):
        digest.update(images[start : start + 256].tobytes())
    return "sha256:" + digest.hexdigest()


def table_digest(table: Mapping[str, np.ndarray]) -> str:
    """Return the digest of the table's values, whatever library wrote the file."""
    digest = hashlib.sha256()
    for name in written(table):
        digest.update(json.dumps([name, table[name].tolist()], separators=(",", ":")).encode())
    return "sha256:" + digest.hexdigest()
