"""What a layout is: how it is recognised, and how it says what there is to read."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from imaging.data.label_tables import Entry
from imaging.data.sources import Source, read_labels
from imaging.errors import DataError

Subject = Literal["radiograph", "picture"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A source with the label table and the wishes that came with it."""

    source: Source
    table: str | None = None
    """The text of a label table that was named."""
    subject: Subject | None = None
    finding: str = ""

    @cached_property
    def names(self) -> list[str]:
        """Every name in the source, sorted."""
        return self.source.names()

    def text(self, name: str) -> str:
        """Return a text file of the source."""
        return read_labels(name, self.source)

    def named(self, name: str) -> str:
        """Return the first path whose file is called `name`, whatever its case, or nothing."""
        return next((path for path in self.names if PurePosixPath(path).name.lower() == name.lower()), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayPart:
    """Images that lie packed in the source already."""

    images: np.ndarray = field(repr=False)
    """uint8, (N, S, S) grey or (N, S, S, 3) RGB."""
    labels: np.ndarray = field(repr=False)
    """(N,) class names."""
    split: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be read: files, one entry each, or parts that are arrays."""

    entries: list[Entry] = field(default_factory=list, repr=False)
    classes: frozenset[str] = frozenset()
    """Those that must not stay empty."""
    parts: Callable[[], Iterator[ArrayPart]] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    """What a person should know of how the source was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One way to lay out images and labels."""

    fits: Callable[[Place], bool]
    read: Callable[[Place], Plan]
    subject: Subject = "radiograph"
    """What its images show, where nobody says otherwise."""
    size: int = 224
    """Side of the packed images, where nobody says otherwise."""


def columns_of(text: str) -> set[str]:
    """Return the names in the first line of a CSV file."""
    first = next(csv.reader(io.StringIO(text.removeprefix("\ufeff")[:65536], newline="")), [])
    return {name.strip() for name in first}


def rows_of(text: str, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return (line, row) of a CSV file, its values stripped.

    Raises:
        DataError: not a CSV file, or without the needed columns.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), restval="")
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
        missing = [name for name in needed if name not in reader.fieldnames]
        if missing:
            raise DataError(f"the table lacks the columns {', '.join(missing)}")
        return [
            (reader.line_num, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
            for row in reader
        ]
    except csv.Error as error:
        raise DataError("the table is not a CSV file") from error
