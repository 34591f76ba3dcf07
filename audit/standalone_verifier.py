"""Checks an export of the audit record without anything of whoever wrote it: `python3 verify.py FILE PUBLIC_KEY`.

PUBLIC_KEY is 64 hex digits, got by another way than the export. Needs Python 3.9 and `cryptography`.
Says the first record that does not hold and exits with 1; with 0 where all do.
"""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

FORMAT = "thorax-audit-1"


def problem(path: str, public: str) -> str:
    """Return what is wrong with the export at `path`; nothing where it holds."""
    key, previous = public, sha256(f"{FORMAT}:{public}")
    before, _, page = Path(path).read_text("utf-8").partition('<script type="application/x-ndjson" id="log">\n')
    lines = (page.partition("</script>")[0] or before).split("\n")
    head, *records, last = [json.loads(line) for line in lines if line]
    if head.get("public_key") != public:
        return "the export is signed with another key"
    for seq, record in enumerate(records, start=1):
        event = json.loads(record.get("text", "{}"))
        if event.get("seq") != seq or event.get("previous_hash") != previous:
            return f"record {seq} does not follow the one before"
        signed = canonical({"format": FORMAT, "seq": seq, "hash": record["hash"]})
        if sha256(record["text"]) != record["hash"] or not holds(key, record["signature"], signed):
            return f"record {seq} was changed"
        previous = record["hash"]
        key = event["details"]["public_key"] if event["action"] == "key.rotated" else key
    end, seen = last.get("end"), [{"hash": ""}, *records]
    if end is None or not holds(key, last["signature"], canonical(end)):
        return f"there is no signed end: what came after record {len(records)} is cut"
    for seq, known in ((end["records"], end["head"]), (end["witnessed"]["seq"], end["witnessed"]["hash"])):
        if seq >= len(seen) or seen[seq]["hash"] != known or end["records"] != len(records):
            return f"the signed end speaks of {end['records']} records, the export has {len(records)}"
    return ""


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def holds(key: str, signature: str, text: str) -> bool:
    try:
        return PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), text.encode()) is None
    except (InvalidSignature, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(problem(*sys.argv[1:3]) or None)
