"""Class folders: `pneumonia/a.dcm`, or `train/pneumonia/a.dcm` with the split above, perhaps all below one folder."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from imaging.data.label_tables import SPLITS, SUFFIXES, Entry
from imaging.data.layouts.plan import Place, Plan
from imaging.errors import DataError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg"}


def read(place: Place) -> Plan:
    """Read labels from the folders.

    Raises:
        DataError: images that are in no class folder.
    """
    suffixes = PICTURE_SUFFIXES if place.subject == "picture" else SUFFIXES
    entries, classes = entries_of_tree(place.names, place.source.folders(), suffixes)
    table = next((name for name in place.names if "/" not in name and name.endswith(".csv")), "")
    notes = (f"the class folders were read; --labels {table} would read the table",) if table else ()
    return Plan(entries=entries, classes=frozenset(classes), notes=notes)


def entries_of_tree(
    names: Iterable[str], folders: Iterable[str], suffixes: set[str] = SUFFIXES
) -> tuple[list[Entry], set[str]]:
    """Return the entries, and every class that has a folder, so that an empty one is seen."""
    wanted = sorted(name for name in names if PurePosixPath(name).suffix.lower() in suffixes and not is_hidden(name))
    below = _wrapper(wanted)
    entries = []
    for row, name in enumerate(wanted, start=1):
        label, split = class_of(PurePosixPath(name).parts[below:-1])
        if not label:
            raise DataError("images lie outside any class folder; give a label table, or make each class a folder")
        entries.append(Entry(row=row, file=name, label=label, split=split))
    trees = (PurePosixPath(folder).parts[below : below + 2] for folder in folders if not is_hidden(folder))
    return entries, {entry.label for entry in entries} | {class_of(parts)[0] for parts in trees} - {""}


def is_hidden(name: str) -> bool:
    """Return whether a path is none of a person's own: `.git`, `__MACOSX`."""
    return any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)


def class_of(folders: tuple[str, ...]) -> tuple[str, str]:
    """Return the class and the split that a chain of folders names; empty where it names none."""
    split = SPLITS.get(folders[0].lower(), "") if folders else ""
    below = folders[1:] if split else folders
    return (below[0] if below else ""), split


def _wrapper(names: list[str]) -> int:
    """Return how many folders all of the images lie in before the classes begin: archives often have one or two."""
    chains = {PurePosixPath(name).parts[:-1] for name in names}
    below = 0
    while (
        chains
        and all(len(chain) >= below + 2 for chain in chains)
        and len({chain[below] for chain in chains}) == 1
        and next(iter(chains))[below].lower() not in SPLITS
    ):
        below += 1
    return below
