"""What a label table or a tree of class folders says about each image: one `Entry` an image.

A table is a CSV file with the columns `file` (relative to the source) and `label`, and, where known,
`patient_id, view, sex, age, site, split, source, manufacturer`; other columns are ignored.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from imaging.errors import DataError

REQUIRED = ("file", "label")
OPTIONAL = ("patient_id", "view", "sex", "age", "site", "split", "source", "manufacturer")
SUFFIXES = {".dcm", ".dicom", ".png", ".jpg", ".jpeg", ""}
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
          "calibration": "calibration", "test": "test", "testing": "test", "": ""}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One image to ingest. `row` is where a person finds it: the line of the table, or its place in the sorted tree."""

    row: int
    file: str = field(repr=False)
    label: str
    patient_id: str = field(default="", repr=False)
    view: str = ""
    sex: str = ""
    age: str = field(default="", repr=False)
    site: str = ""
    split: str = ""
    source: str = ""
    manufacturer: str = ""


def parse_table(text: str) -> list[Entry]:
    """Read a label table.

    Raises:
        DataError: not a table, a required column missing, a file outside the source, or an unknown split.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError("the label table is not a CSV file") from error
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(f"the label table needs the columns {', '.join(REQUIRED)}; missing: {', '.join(missing)}")
    if not rows:
        raise DataError("the label table has no rows")
    return [
        _entry(line, {name: (row.get(name) or "").strip() for name in (*REQUIRED, *OPTIONAL)}) for line, row in rows
    ]


def _entry(line: int, row: dict[str, str]) -> Entry:
    path = PurePosixPath(row["file"].replace("\\", "/"))
    if not row["file"] or path.is_absolute() or ".." in path.parts:
        raise DataError(f"line {line} of the label table: the file must be a path inside the source")
    split = SPLITS.get(row["split"].lower())
    if split is None:
        raise DataError(f"line {line} of the label table: the split must be one of train, val, calibration, test")
    return Entry(row=line, **{**row, "file": str(path), "split": split})


def entries_of_tree(names: Iterable[str], folders: Iterable[str]) -> tuple[list[Entry], set[str]]:
    """Read labels from folders: `pneumonia/a.dcm`, or `train/pneumonia/a.dcm` with the split above.

    Args:
        names: The files, relative to the source.
        folders: The folders, so that an empty class is seen.

    Returns:
        The entries, and every class that has a folder.

    Raises:
        DataError: images that are in no class folder.
    """
    entries = []
    wanted = sorted(name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES and not _is_hidden(name))
    for row, name in enumerate(wanted, start=1):
        label, split = _class_of(PurePosixPath(name).parts[:-1])
        if not label:
            raise DataError("images lie outside any class folder; give a label table, or make each class a folder")
        entries.append(Entry(row=row, file=name, label=label, split=split))
    classes = {_class_of(PurePosixPath(folder).parts)[0] for folder in folders if not _is_hidden(folder)}
    return entries, {entry.label for entry in entries} | classes - {""}


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)


def _class_of(folders: tuple[str, ...]) -> tuple[str, str]:
    """Return the class and the split that a chain of folders names; empty where it names none."""
    split = SPLITS.get(folders[0].lower(), "") if folders else ""
    below = folders[1:] if split else folders
    return (below[0] if below else ""), split
