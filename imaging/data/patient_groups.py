"""Images that must stay together, their place in the draw, and how many of them each part gets."""

import hashlib
from dataclasses import dataclass

from imaging.data.dataset import Dataset
from imaging.data.groups import connected
from imaging.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A patient, or patients who share a picture, with all of their images."""

    name: str
    """The smallest of its patients' pseudonyms."""
    picture: str
    """The smallest of its pictures' hashes."""
    indices: tuple[int, ...]
    label: int
    """The most frequent one."""


def groups_of(dataset: Dataset) -> list[Group]:
    """Return the groups in a fixed order."""
    patients, pictures = dataset.patients.tolist(), dataset.column("pixel_sha256").tolist()
    labels = dataset.labels.tolist()
    together = connected(zip(patients, pictures, strict=True))
    members: dict[str, list[int]] = {}
    for index, patient in enumerate(patients):
        members.setdefault(together[patient], []).append(index)
    return [
        Group(
            name=name,
            picture=min(pictures[index] for index in members[name]),
            indices=tuple(members[name]),
            label=_most_frequent([labels[index] for index in members[name]]),
        )
        for name in sorted(members)
    ]


def _most_frequent(labels: list[int]) -> int:
    return labels[0] if len(labels) == 1 else min(set(labels), key=lambda label: (-labels.count(label), label))


def by_class(dataset: Dataset, draw: str, *, by_picture: bool = False) -> list[tuple[str, list[Group]]]:
    """Return for each class its name and its groups, in the order of the draw called `draw`.

    A group's place depends on nobody else. So a patient of one dataset version keeps their part in the next, larger
    one (but for a few at the edges), and a retrained model is not compared with a champion that was trained on the new
    test patients. By picture, every home draws alike, whatever the key of its pseudonyms.
    """
    classes: list[list[Group]] = [[] for _ in dataset.classes]
    for group in groups_of(dataset):
        classes[group.label].append(group)
    for groups in classes:
        groups.sort(key=lambda group: place(draw, group.picture if by_picture else group.name))
    return list(zip(dataset.classes, classes, strict=True))


def place(draw: str, name: str) -> str:
    """Return where in a draw a name comes."""
    return hashlib.sha256(f"{draw}/{name}".encode()).hexdigest()


def quotas(count: int, name: str, fractions: tuple[float, ...]) -> list[int]:
    """Share `count` groups of the class `name` by largest remainder, at least one for each part that gets any.

    Raises:
        DataError: fewer groups than parts.
    """
    wanted = sum(1 for part in fractions if part > 0)
    if count < wanted:
        raise DataError(f"class {name!r} has {count} patients; {wanted} parts need at least {wanted}")
    exact = [count * part / sum(fractions) for part in fractions]
    shares = [max(int(share), 1 if share > 0 else 0) for share in exact]
    while sum(shares) < count:
        shares[max(range(len(shares)), key=lambda i: exact[i] - shares[i])] += 1
    while sum(shares) > count:
        shares[max(range(len(shares)), key=lambda i: (shares[i] > 1, shares[i] - exact[i]))] -= 1
    return shares
