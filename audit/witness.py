"""Signed heads outside the database: the second place that remembers how long the chain was.

One line an append in `heads.jsonl`, written with a single O_APPEND write; the order of lines does not matter, so
writers need no lock. A kill between commit and witness leaves the database ahead of it, which is fine: a later head
vouches for every record before it. In production the second place is a bucket (`audit/bucket_witness.py`) or a folder
on storage that its writers cannot rewrite.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from audit.errors import AuditError, ForeignWitnessError
from audit.event import canonical, sha256_hex
from audit.heads import FORMAT, Head, Heads, collect, head_of, head_text
from audit.keys import create_once, load_public_key, public_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_KEY_NAME = "audit.pub"
HEADS_NAME = "heads.jsonl"


def genesis_hash(public: bytes) -> str:
    """`previous_hash` of the first record: it binds the chain to its key."""
    return sha256_hex(f"{FORMAT}:{public.hex()}")


class SecondPlace(Protocol):
    """Where heads go, and the public half of the key that signs them."""

    @property
    def place(self) -> str:
        """Its name, for people."""

    def public_key(self) -> bytes | None:
        """Return the 32 raw bytes of the public key; None for a log that has not begun."""

    def keep_public_key(self, public: bytes) -> None:
        """Write the public key of a new log, unless another writer was first; its key then stands."""

    def begin(self, key: "Ed25519PrivateKey", *, is_new: bool) -> None:
        """Write head 0 of a new log; for one that has records already, the heads must be here."""

    def add(self, seq: int, record_hash: str, signature: str) -> None:
        """Append one head, durably."""

    def read(self, keys: Sequence[bytes] | None = None) -> Heads:
        """Return every head; where `keys` are given, each one's signature is checked, and what none signed left out."""


def second_place(named: str | Path, keys: Path) -> SecondPlace:
    """Return the witness at a folder or at `s3://bucket/prefix`, for which the folder `keys` can hold a login."""
    if str(named).startswith("s3://"):
        from audit.bucket_witness import BucketWitness

        return BucketWitness(str(named), keys)
    return Witness(Path(named))


def begin_log(witness: SecondPlace, key: "Ed25519PrivateKey", *, has_heads: bool, is_new: bool) -> None:
    """Write head 0 for a new log.

    Raises:
        ForeignWitnessError: when the witness of an existing log is gone; making a new one would hide a cut.
    """
    if has_heads:
        return
    if not is_new:
        raise ForeignWitnessError(
            f"the log has records but no heads in {witness.place}: put its witness folder or bucket back"
        )
    genesis = genesis_hash(public_bytes(key))
    witness.add(0, genesis, key.sign(head_text(0, genesis).encode()).hex())


class Witness:
    """The witness folder of one log."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made with the log's key."""
        self.folder = folder
        self.public_key_path = folder / PUBLIC_KEY_NAME
        self.heads_path = folder / HEADS_NAME

    @property
    def place(self) -> str:
        """The folder."""
        return f"the folder {self.folder}"

    def public_key(self) -> bytes | None:
        """Return the public key kept here, if any."""
        return load_public_key(self.public_key_path) if self.public_key_path.exists() else None

    def keep_public_key(self, public: bytes) -> None:
        """Write the public key, unless there is one."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_once(self.public_key_path, public.hex().encode() + b"\n", mode=0o644)

    def begin(self, key: "Ed25519PrivateKey", *, is_new: bool) -> None:
        """Write head 0 of a new log."""
        begin_log(self, key, has_heads=self.heads_path.exists(), is_new=is_new)

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

    def read(self, keys: Sequence[bytes] | None = None) -> Heads:
        """Return every head; a line torn by a kill (no closing brace) is passed over."""
        if not self.heads_path.exists():
            heads = Heads()
            heads.problem = f"the witness {HEADS_NAME} is missing"
            return heads
        return collect(self._lines(), keys)

    def _lines(self) -> Iterator[tuple[str, Head | None]]:
        with self.heads_path.open(errors="replace") as file:
            for number, line in enumerate(file, start=1):
                text = line.rstrip("\n")
                if text.endswith("}"):
                    yield f"line {number}", head_of(text)
