"""What a label table says about each image: one `Entry` an image.

A table is a CSV file with the columns `file` (relative to the source) and `label`, and, where known,
`patient_id, view, sex, age, site, split, source, manufacturer`, and `lesions` and `lungs`, the boxes of
`imaging.data.regions`; other columns are ignored.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from imaging.data.regions import boxes_text, parse_boxes
from imaging.errors import DataError

REQUIRED = ("file", "label")
OPTIONAL = ("patient_id", "view", "sex", "age", "site", "split", "source", "manufacturer", "lesions", "lungs")
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
    lesions: str = ""
    lungs: str = ""


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
    try:
        places = {name: boxes_text(parse_boxes(row[name])) for name in ("lesions", "lungs")}
    except DataError as error:
        raise DataError(f"line {line} of the label table: {error}") from error
    return Entry(row=line, **{**row, "file": str(path), "split": split, **places})
