"""One hash for a batch of rows, so that the audit record vouches for every logged prediction by one event.

The Merkle tree of RFC 6962, section 2.1: SHA-256, leaves and nodes told apart by their first byte. Its audit paths
(section 2.1.1) show of one row that it is in the batch, without the other rows.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

Sibling = tuple[Literal["left", "right"], str]
"""On which side of what is hashed so far it stands, and its hash in hex."""


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return `sha256:` and the tree hash of `leaves`, in order; of nothing, the hash of the empty string."""
    level = [_leaf(leaf) for leaf in leaves]
    if not level:
        return "sha256:" + hashlib.sha256(b"").hexdigest()
    while len(level) > 1:
        level = _above(level)
    return "sha256:" + level[0].hex()


def audit_path(leaves: Sequence[bytes], index: int) -> list[Sibling]:
    """Return what leads from leaf `index` to the root, the nearest first."""
    level, place = [_leaf(leaf) for leaf in leaves], index
    path: list[Sibling] = []
    while len(level) > 1:
        beside = place ^ 1
        if beside < len(level):
            path.append(("left" if beside < place else "right", level[beside].hex()))
        level, place = _above(level), place // 2
    return path


def root_by_path(leaf: bytes, path: Sequence[Sibling]) -> str:
    """Return the root that `leaf` and its audit path lead to."""
    found = _leaf(leaf)
    for side, sibling in path:
        other = bytes.fromhex(sibling)
        found = _node(other, found) if side == "left" else _node(found, other)
    return "sha256:" + found.hex()


def _leaf(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _above(level: list[bytes]) -> list[bytes]:
    """Return the next level: pairs from the left, a lone last one carried up, which gives the tree of the RFC."""
    pairs = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return pairs + level[len(level) - len(level) % 2 :]
