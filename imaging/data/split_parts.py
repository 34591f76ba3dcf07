"""What a split is: indices into a dataset version for each part, saved with its digest, and searched for leaks."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imaging.atomic import write_text
from imaging.data.dataset import Dataset
from imaging.errors import DataError, NotFoundError

PARTS = ("train", "val", "calibration", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Patients, and pictures with equal pixels, that are on more than one side."""

    patients: int
    duplicates: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Indices into a dataset version, for each of `PARTS`."""

    parts: dict[str, np.ndarray] = field(repr=False)
    """Sorted int64 indices."""
    dataset_digest: str

    @property
    def digest(self) -> str:
        """`sha256:` of the assignment and of the dataset it is for."""
        text = json.dumps([self.dataset_digest, self._lists()], separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def _lists(self) -> dict[str, list[int]]:
        return {part: self.parts[part].tolist() for part in PARTS}

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        document = {"digest": self.digest, "dataset": self.dataset_digest, "parts": self._lists()}
        write_text(path, json.dumps(document) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read a split that `save` wrote.

        Raises:
            NotFoundError: no file. DataError: not a split, or changed since it was written.
        """
        try:
            document = json.loads(path.read_text())
            parts = {part: np.array(document["parts"][part], np.int64) for part in PARTS}
            split = cls(parts=parts, dataset_digest=document["dataset"])
        except FileNotFoundError as error:
            raise NotFoundError(f"no split file {path.name}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path.name} is not a split file") from error
        if split.digest != document.get("digest"):
            raise DataError(f"the split file {path.name} was changed after it was written")
        return split


def find_overlap(dataset: Dataset, split: Split) -> Overlap:
    """Count patients and pixel hashes that are on more than one side of `split`: both must be 0.

    Raises:
        DataError: the split is for another dataset version, or has an index that is not there.
    """
    if split.dataset_digest != dataset.digest:
        raise DataError("the split was made for another dataset version")
    indices = np.concatenate([split.parts[part] for part in PARTS])
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(dataset):
        raise DataError("the split has an index that the dataset does not have")
    return Overlap(
        patients=_on_two_sides(dataset.patients, split),
        duplicates=_on_two_sides(dataset.column("pixel_sha256"), split),
    )


def _on_two_sides(keys: np.ndarray, split: Split) -> int:
    sides: Counter[str] = Counter()
    for part in PARTS:
        sides.update(set(keys[split.parts[part]].tolist()))
    return sum(1 for count in sides.values() if count > 1)
