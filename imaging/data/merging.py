"""A dataset version and newer images become the next one; its test part stays locked, some new patients are held back.

Patients stay on the side where they are. Whoever is new is dealt to `recent`, which nothing of this training sees, or
to train, val and calibration, by the hash of their first picture: every home deals alike, whatever its key.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from imaging.data.dataset import Dataset, load_dataset, write_dataset
from imaging.data.groups import connected
from imaging.data.patient_groups import place
from imaging.data.split_parts import PARTS, Split
from imaging.data.splits import FRACTIONS, split_on_disk
from imaging.data.staging import AT_ONCE, Pack, publish, staging
from imaging.errors import DataError

RECENT = "recent"
RECENT_SHARE = 0.25
"""Of the new patients of each class, held back to measure on."""
LEFT_OUT = ("test_patient", "known_picture", "two_sides")
"""Why a new image is left out: its patient is tested on; its picture is there; it would join two sides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """The next version, its split, and what is measured on beside the test part."""

    dataset: Dataset
    split: Split
    recent: Dataset
    """The new images held back."""
    taken: dict[str, int] = field(default_factory=dict)
    """New images of each class, held back or not."""
    left_out: dict[str, int] = field(default_factory=dict)


def merge_on_disk(base: Path, split: Path, new: Path, out: Path, split_out: Path) -> Merged:
    """Write the next version of `base`, with the images of `new`, into `out`.

    Args:
        base: The dataset version that the champion was trained on.
        split: Its split.
        new: A dataset version of newer images: of the same size and channels, and of no other classes.
        out: A folder of dataset versions; gets the merged and the recent one.
        split_out: Where the merged version's split goes. Its test part is the base's, image for image.

    Raises:
        DataError: the two do not fit each other, or nothing of the new one is left.
    """
    old, newer, parts = load_dataset(base), load_dataset(new), Split.load(split)
    _check_fit(old, newer, parts)
    sides, left_out = _sides(old, newer, parts)
    train = np.array([row for row, side in enumerate(sides) if side in PARTS], np.int64)
    held = np.array([row for row, side in enumerate(sides) if side == RECENT], np.int64)
    if not len(train) or not len(held):
        raise DataError(f"too few new patients to train on some and to hold some back; left out: {_told(left_out)}")
    lineage = {"base": old.digest, "base_split": parts.digest, "new": newer.digest, "left_out": left_out}
    recent = _write(out, "recent", [(newer, held, [""] * len(held))], lineage)
    lineage["recent"] = recent.digest
    first = (old, np.arange(len(old)), _hints(parts, len(old)))
    merged = _write(out, "merged", [first, (newer, train, [sides[row] for row in train])], lineage)
    made = split_on_disk(merged.path, split_out, keep_hints=True)
    taken = np.concatenate([train, held])
    counts = {name: int((newer.labels[taken] == index).sum()) for index, name in enumerate(newer.classes)}
    return Merged(dataset=merged, split=made, recent=recent, taken=counts, left_out=left_out)


def _check_fit(old: Dataset, newer: Dataset, split: Split) -> None:
    if split.dataset_digest != old.digest:
        raise DataError("the split was made for another dataset version than the base")
    if (old.size, old.channels) != (newer.size, newer.channels):
        raise DataError(
            f"expected images of {old.size} pixels and {old.channels} channels, as the base has, "
            f"got {newer.size} and {newer.channels}"
        )
    unknown = sorted(set(newer.classes) - set(old.classes))
    if unknown:
        raise DataError(f"expected some of the base's classes {', '.join(old.classes)}, got {', '.join(unknown)}")


def _sides(old: Dataset, newer: Dataset, split: Split) -> tuple[list[str], dict[str, int]]:
    """Return for each new image its side, or "" where it is left out, and how many are and why."""
    pictures = set(old.column("pixel_sha256").tolist())
    mine = list(zip(newer.patients.tolist(), newer.column("pixel_sha256").tolist(), strict=True))
    theirs = zip(old.patients.tolist(), old.column("pixel_sha256").tolist(), strict=True)
    together = connected([*theirs, *mine])
    known: dict[str, set[str]] = {}
    for part, rows in split.parts.items():
        for patient in old.patients[rows].tolist():
            known.setdefault(together[patient], set()).add(part)
    dealt = _dealt(newer, together, known)
    left_out = dict.fromkeys(LEFT_OUT, 0)
    sides = []
    for patient, picture in mine:
        side = _side(together[patient], known, dealt)
        reason = "known_picture" if picture in pictures and side not in LEFT_OUT else side
        if reason in left_out:
            left_out[reason] += 1
        sides.append("" if reason in left_out else side)
    return sides, left_out


def _side(group: str, known: dict[str, set[str]], dealt: dict[str, str]) -> str:
    if group not in known:
        return dealt[group]
    if "test" in known[group]:
        return "test_patient"
    return next(iter(known[group])) if len(known[group]) == 1 else "two_sides"


def _dealt(newer: Dataset, together: dict[str, str], known: dict[str, set[str]]) -> dict[str, str]:
    """Deal the new groups of each class, in the order of their pictures' hashes, to recent and the parts to train."""
    by_class: dict[int, set[str]] = {}
    first: dict[str, str] = {}
    pictures = newer.column("pixel_sha256").tolist()
    for patient, label, picture in zip(newer.patients.tolist(), newer.labels.tolist(), pictures, strict=True):
        group = together[patient]
        if group not in known:
            by_class.setdefault(label, set()).add(group)
            first[group] = min(picture, first.get(group, picture))
    rest = [part * (1 - RECENT_SHARE) / sum(FRACTIONS[:3]) for part in FRACTIONS[:3]]
    names, bounds = (RECENT, *PARTS[:3]), np.cumsum([RECENT_SHARE, *rest])
    dealt: dict[str, str] = {}
    for _, groups in sorted(by_class.items()):
        own = sorted(groups - dealt.keys(), key=lambda name: place("merge", first[name]))
        edges = np.round(bounds * len(own))
        for rank, group in enumerate(own):
            dealt[group] = names[int(np.searchsorted(edges, rank, side="right"))]
    return dealt


def _hints(split: Split, count: int) -> list[str]:
    hints = [""] * count
    for part, rows in split.parts.items():
        for row in rows.tolist():
            hints[row] = part
    return hints


def _write(
    out: Path, name: str, pieces: list[tuple[Dataset, np.ndarray, list[str]]], lineage: dict[str, Any]
) -> Dataset:
    """Write one version of rows of several others, each with its side; the pixels are copied in pieces."""
    first = pieces[0][0]
    with staging(out) as folder:
        pack = Pack(folder, first.size)
        for data, rows, _ in pieces:
            for start in range(0, len(rows), AT_ONCE):
                pack.append(data.images[rows[start : start + AT_ONCE]])
        count = sum(len(rows) for _, rows, _ in pieces)
        pixels = pack.keep(np.arange(count), stored=first.channels, channels=first.channels)
        facts = {
            "name": name,
            "source": {"kind": "merged", "layout": "merged"},
            "notes": [],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "lineage": dict(lineage),
        }
        digest = write_dataset(folder, _table(pieces), size=first.size, facts=facts, pixels=pixels)
        path = out / f"{name}-{digest.removeprefix('sha256:')[:12]}"
        publish(folder, path, digest)
    return load_dataset(path)


def _table(pieces: list[tuple[Dataset, np.ndarray, list[str]]]) -> dict[str, np.ndarray]:
    tables = [{name: data.column(name)[rows] for name in data.columns} for data, rows, _ in pieces]
    for table, (_, _, sides) in zip(tables, pieces, strict=True):
        table["split_hint"] = np.array(sides, dtype=np.str_)
    names = dict.fromkeys(name for table in tables for name in table)
    lengths = [len(rows) for _, rows, _ in pieces]
    return {
        name: np.concatenate(
            [table.get(name, np.full(length, "")) for table, length in zip(tables, lengths, strict=True)]
        )
        for name in names
    }


def _told(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count) or "none"
