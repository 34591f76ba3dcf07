"""Who is trained on and who is tested on: by patient, stratified by label, reproducible from a seed.

No patient, and no two images with the same pixels, can be on two sides: whole groups are assigned.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imaging.atomic import write_text
from imaging.data.dataset import Dataset, load_dataset
from imaging.data.groups import connected
from imaging.errors import DataError, NotFoundError, PatientOverlapError

PARTS = ("train", "val", "calibration", "test")
FRACTIONS = (0.5, 0.1, 0.12, 0.28)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    name: str
    """The smallest of its patients' pseudonyms."""
    picture: str
    """The smallest of its pictures' hashes."""
    indices: tuple[int, ...]
    label: int


def _place(group: _Group, seed: int, *, hinted: bool) -> str:
    """Return a group's place in the draw, which depends on nobody else.

    So a patient of one dataset version keeps their part in the next, larger one (but for a few at the edges),
    and a retrained model is not compared with a champion that was trained on the new test patients. Where the table
    has a split of its own, only calibration is drawn: by pictures, so that every home draws alike, whatever the key
    of its pseudonyms.
    """
    return hashlib.sha256(f"{seed}/{group.picture if hinted else group.name}".encode()).hexdigest()


def split_dataset(
    dataset: Dataset,
    *,
    fractions: tuple[float, float, float, float] = FRACTIONS,
    seed: int = 0,
    keep_hints: bool = False,
) -> Split:
    """Assign every image to one part.

    Args:
        dataset: A loaded dataset version.
        fractions: Of the patients of each class, for train, val, calibration and test; they sum to 1.
        seed: The same one gives the same split.
        keep_hints: Keep the label table's own split; where it has no calibration part, that is taken
            by patient out of val (at most half of it) and train.

    Raises:
        DataError: fractions that do not sum to 1, or a class with too few patients.
        PatientOverlapError: the table's own split puts a patient on two sides.
    """
    if any(part < 0 for part in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"the fractions must be at least 0 and sum to 1, got {fractions}")
    groups = _groups(dataset)
    assigned: dict[str, list[int]] = {part: [] for part in PARTS}
    for label, name in enumerate(dataset.classes):
        shuffled = sorted(
            (group for group in groups if group.label == label),
            key=lambda group: _place(group, seed, hinted=keep_hints),
        )
        sides = _hinted(dataset, shuffled, name, fractions) if keep_hints else _drawn(shuffled, name, fractions)
        for group, part in zip(shuffled, sides, strict=True):
            assigned[part].extend(group.indices)
    parts = {part: np.array(sorted(indices), np.int64) for part, indices in assigned.items()}
    return Split(parts=parts, dataset_digest=dataset.digest)


def _groups(dataset: Dataset) -> list[_Group]:
    """Return images that must stay together, in a fixed order; a group's label is its most frequent one."""
    together = connected(zip(dataset.patients.tolist(), dataset.column("pixel_sha256").tolist(), strict=True))
    members: dict[str, list[int]] = {}
    for index, patient in enumerate(dataset.patients.tolist()):
        members.setdefault(together[patient], []).append(index)
    groups, pictures = [], dataset.column("pixel_sha256")
    for key in sorted(members):
        votes = Counter(dataset.labels[members[key]].tolist())
        label = min(votes, key=lambda candidate: (-votes[candidate], candidate))
        groups.append(_Group(name=key, picture=min(pictures[members[key]]), indices=tuple(members[key]), label=label))
    return groups


def _quotas(count: int, name: str, fractions: tuple[float, ...]) -> list[int]:
    """Share `count` groups by largest remainder, at least one for each part that gets any."""
    wanted = sum(1 for part in fractions if part > 0)
    if count < wanted:
        raise DataError(f"class {name!r} has {count} patients; {wanted} parts need at least {wanted}")
    exact = [count * part / sum(fractions) for part in fractions]
    quotas = [max(int(share), 1 if share > 0 else 0) for share in exact]
    while sum(quotas) < count:
        quotas[max(range(len(quotas)), key=lambda i: exact[i] - quotas[i])] += 1
    while sum(quotas) > count:
        quotas[max(range(len(quotas)), key=lambda i: (quotas[i] > 1, quotas[i] - exact[i]))] -= 1
    return quotas


def _drawn(groups: list[_Group], name: str, fractions: tuple[float, ...]) -> list[str]:
    quotas = _quotas(len(groups), name, fractions)
    return [part for part, quota in zip(PARTS, quotas, strict=True) for _ in range(quota)]


def _hinted(dataset: Dataset, groups: list[_Group], name: str, fractions: tuple[float, ...]) -> list[str]:
    hints = dataset.column("split_hint")
    sides = []
    for group in groups:
        said = set(hints[list(group.indices)].tolist())
        if len(said) > 1:
            raise PatientOverlapError(
                f"the table's own split puts a patient of class {name!r} on several sides: {sorted(said)}"
            )
        sides.append(said.pop())
    if "" in sides:
        raise DataError(
            f"{sides.count('')} patients of class {name!r} have no split in the table; leave --keep-split out"
        )
    if "calibration" in dataset.column("split_hint"):
        return sides
    pool = [i for part in ("val", "train") for i, side in enumerate(sides) if side == part]
    fitting = fractions[0] + fractions[1] + fractions[2]
    wanted = round(len(pool) * fractions[2] / fitting) if fitting else 0
    from_val = pool[: min(wanted, sides.count("val") // 2)]
    from_train = [i for i in pool if sides[i] == "train"][: wanted - len(from_val)]
    return ["calibration" if i in {*from_val, *from_train} else side for i, side in enumerate(sides)]


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


def split_on_disk(
    dataset_path: Path,
    out_file: Path,
    *,
    fractions: tuple[float, float, float, float] = FRACTIONS,
    seed: int = 0,
    keep_hints: bool = False,
) -> Split:
    """Split the dataset version at `dataset_path` and write the split to `out_file`.

    Raises:
        PatientOverlapError: a patient or picture on two sides, which would be a defect of this module.
    """
    dataset = load_dataset(dataset_path)
    split = split_dataset(dataset, fractions=fractions, seed=seed, keep_hints=keep_hints)
    overlap = find_overlap(dataset, split)
    if overlap.patients or overlap.duplicates:
        raise PatientOverlapError(f"{overlap.patients} patients and {overlap.duplicates} pictures are on two sides")
    split.save(out_file)
    return split
