"""Which patients must stay together: those who share a picture are one person, or one leak."""

from collections.abc import Iterable


def connected(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return for each left name the smallest left name it is linked to through equal right names.

    Args:
        pairs: (patient, pixel hash) of every image.
    """
    parent: dict[str, str] = {}
    first_with: dict[str, str] = {}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for left, right in pairs:
        parent.setdefault(left, left)
        one, other = sorted((root(left), root(first_with.setdefault(right, left))))
        parent[other] = one
    return {name: root(name) for name in parent}
