"""One hash for a batch of rows, so that the audit record vouches for every logged prediction by one event.

The Merkle tree of RFC 6962, section 2.1: SHA-256, leaves and nodes told apart by their first byte.
"""

import hashlib
from collections.abc import Sequence


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return `sha256:` and the tree hash of `leaves`, in order; of nothing, the hash of the empty string."""
    return "sha256:" + _tree([hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]).hex()


def _tree(level: list[bytes]) -> bytes:
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        # Pairing from the left and carrying a lone last one up gives the tree of the RFC.
        pairs = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]
