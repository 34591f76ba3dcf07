"""Signed heads outside the database: the second place that remembers how long the chain was.

One line an append in `heads.jsonl`, written with a single O_APPEND write; the order of lines does not matter, so
writers need no lock. A kill between commit and witness leaves the database ahead of it, which is fine: a later head
vouches for every record before it. In production the folder lies on storage that its writers cannot rewrite.
"""

import errno
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import AuditError, ForeignWitnessError
from audit.event import canonical, sha256_hex
from audit.keys import public_bytes, signature_holds

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_KEY_NAME = "audit.pub"
HEADS_NAME = "heads.jsonl"
FORMAT = "thorax-audit-1"


@dataclass(kw_only=True)
class Heads:
    """What a witness remembers."""

    hashes: dict[int, str] = field(default_factory=dict)
    """Hash of each witnessed record; 0 is the genesis."""
    problem: str | None = None

    @property
    def last(self) -> int:
        """The highest witnessed record; 0 where there is none."""
        return max(self.hashes, default=0)


def genesis_hash(public: bytes) -> str:
    """`previous_hash` of the first record: it binds the chain to its key."""
    return sha256_hex(f"{FORMAT}:{public.hex()}")


def head_text(seq: int, record_hash: str) -> str:
    """Return what is signed for the record `seq`."""
    return canonical({"format": FORMAT, "seq": seq, "hash": record_hash})


class Witness:
    """The witness folder of one log."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made with the log's key."""
        self.folder = folder
        self.public_key_path = folder / PUBLIC_KEY_NAME
        self.heads_path = folder / HEADS_NAME

    def begin(self, key: "Ed25519PrivateKey", *, is_new: bool) -> None:
        """Write head 0 for a new log; for one that has a database already, the witness must be here.

        Raises:
            ForeignWitnessError: when the witness of an existing log is gone; making a new one would hide a cut.
        """
        if self.heads_path.exists():
            return
        if not is_new:
            raise ForeignWitnessError(
                f"the log has records but no {HEADS_NAME} in {self.folder}: put its witness folder back there"
            )
        genesis = genesis_hash(public_bytes(key))
        self.add(0, genesis, key.sign(head_text(0, genesis).encode()).hex())

    def add(self, seq: int, record_hash: str, signature: str) -> None:
        """Append one head, durably.

        Raises:
            AuditError: when the witness cannot be written; the event itself is already kept.
        """
        line = canonical({"seq": seq, "hash": record_hash, "signature": signature})
        try:
            descriptor = os.open(self.heads_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                # The line break comes first too: a line torn by a kill must not swallow this one.
                data = f"\n{line}\n".encode()
                if os.write(descriptor, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AuditError(f"the event {seq} is kept, but its witness cannot be written: {error.strerror}") from error

    def read(self, public: bytes) -> Heads:
        """Read every head and check its signature; a line torn by a kill (no closing brace) is passed over."""
        heads = Heads()
        try:
            lines = self.heads_path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            heads.problem = f"the witness {HEADS_NAME} is missing"
            return heads
        for number, line in enumerate(lines, start=1):
            if line.endswith("}") and not _add_head(heads, line, public):
                heads.problem = heads.problem or f"line {number} of the witness is not a head signed by this log"
        if 0 not in heads.hashes and not heads.problem:
            heads.problem = f"the witness {HEADS_NAME} lost its beginning"
        return heads


def _add_head(heads: Heads, line: str, public: bytes) -> bool:
    try:
        head = json.loads(line)
        seq, record_hash, signature = int(head["seq"]), str(head["hash"]), str(head["signature"])
    except (ValueError, KeyError, TypeError):
        return False
    if not signature_holds(public, signature, head_text(seq, record_hash)):
        return False
    if heads.hashes.setdefault(seq, record_hash) != record_hash:
        heads.problem = f"the witness knows two records {seq}: the log was rewritten"
    return True
