"""What a witness remembers of a chain: number, hash and signature of each head, in 104 bytes of memory each."""

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from audit.event import canonical
from audit.keys import signature_holds

FORMAT = "thorax-audit-1"
HASH_BYTES, SIGNATURE_BYTES = 32, 64
HIGHEST = 2**63


class Head(NamedTuple):
    """One signed head; `seq` 0 is the genesis."""

    seq: int
    hash: str
    signature: str


def head_text(seq: int, record_hash: str) -> str:
    """Return what is signed for the record `seq`."""
    return canonical({"format": FORMAT, "seq": seq, "hash": record_hash})


class Heads:
    """Heads by number."""

    def __init__(self) -> None:
        """Begin with none."""
        self.problem: str | None = None
        """What was found wrong with the witness while it was read."""
        self._seqs = array("Q")
        self._packed = bytearray()

    @classmethod
    def of(cls, heads: Iterable[Head]) -> "Heads":
        """Return the heads given."""
        found = cls()
        for head in heads:
            found.add(head)
        found.arrange()
        return found

    def add(self, head: Head) -> bool:
        """Take one in; False where it cannot be a head at all."""
        try:  # `fromhex` forgives spaces and capitals; that is looked at below
            record_hash, signature = bytes.fromhex(head.hash), bytes.fromhex(head.signature)
        except ValueError:
            return False
        if not 0 <= head.seq < HIGHEST or len(record_hash) != HASH_BYTES or len(signature) != SIGNATURE_BYTES:
            return False
        if record_hash.hex() != head.hash or signature.hex() != head.signature:
            return False
        self._seqs.append(head.seq)
        self._packed += record_hash + signature
        return True

    def arrange(self) -> None:
        """Sort them by number, once all are in, and find two that contradict each other."""
        seqs, width = self._seqs, HASH_BYTES + SIGNATURE_BYTES
        if any(before > after for before, after in zip(seqs, memoryview(seqs)[1:], strict=False)):
            order = sorted(range(len(seqs)), key=seqs.__getitem__)
            packed = b"".join(self._packed[place * width : (place + 1) * width] for place in order)
            self._seqs, self._packed = array("Q", (seqs[place] for place in order)), bytearray(packed)
        for place, (before, after) in enumerate(zip(self._seqs, memoryview(self._seqs)[1:], strict=False)):
            if before == after and self._at(place).hash != self._at(place + 1).hash:
                self.problem = self.problem or f"the witness knows two records {after}: the log was rewritten"
                return

    def get(self, seq: int) -> Head | None:
        """Return the head of a record, if it was witnessed."""
        place = bisect_left(self._seqs, seq)
        return self._at(place) if place < len(self._seqs) and self._seqs[place] == seq else None

    @property
    def last(self) -> int:
        """The highest witnessed record; 0 where there is none."""
        return self._seqs[-1] if self._seqs else 0

    def _at(self, place: int) -> Head:
        begin = place * (HASH_BYTES + SIGNATURE_BYTES)
        middle = begin + HASH_BYTES
        record_hash, signature = self._packed[begin:middle], self._packed[middle : middle + SIGNATURE_BYTES]
        return Head(self._seqs[place], record_hash.hex(), signature.hex())


def _is_signed(head: Head, keys: Sequence[bytes]) -> bool:
    return any(signature_holds(key, head.signature, head_text(head.seq, head.hash)) for key in keys)


def head_of(line: str) -> Head | None:
    """Read a head from its JSON; None where the text is none."""
    try:
        found = json.loads(line)
        return Head(int(found["seq"]), str(found["hash"]), str(found["signature"]))
    except (ValueError, KeyError, TypeError):
        return None


def collect(lines: Iterable[tuple[str, Head | None]], keys: Sequence[bytes] | None) -> Heads:
    """Gather heads, each with the name of its place; where `keys` are given, those that none signed are left out."""
    heads = Heads()
    for place, head in lines:
        fits = head is not None and (keys is None or _is_signed(head, keys))
        if head is None or not fits or not heads.add(head):
            heads.problem = heads.problem or f"{place} of the witness is not a head signed by this log"
    heads.arrange()
    if heads.get(0) is None:
        heads.problem = heads.problem or "the witness lost its beginning"
    return heads
