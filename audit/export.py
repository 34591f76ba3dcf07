"""A copy of the record for an inspector: one file that carries all that is needed to check it.

JSON lines: a header (public key, how to check), one line a record (canonical text, hash, signature), and a signed end
with the number of records and the last witnessed one. A name that ends in .html gives a page that holds the same
lines and checks them in the browser. `thorax audit verify --file` checks either.
"""

import contextlib
import html
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import DamagedLogError
from audit.event import Action, AuditEvent, canonical, utc_text
from audit.heads import FORMAT, Head, Heads
from audit.keys import fingerprint, public_bytes, signature_holds
from audit.store import Row
from audit.verification import Verification, event_of, verify_rows
from audit.witness import SecondPlace

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HOW = (
    "each record: hash = SHA-256 of text (UTF-8); previous_hash in text = hash of the record before, for the first "
    f"SHA-256 of '{FORMAT}:' + public_key; signature = Ed25519, by public_key or, after a record "
    "key.rotated, by the key that it names, over "
    '{"format":"' + FORMAT + '","hash":"<hash>","seq":<seq>}; end: signature = Ed25519 over the canonical JSON of end; '
    "compare public_key with the one in the witness folder"
)
UNKNOWN_SIGNATURE = "00" * 64
"""Of a head that the signed end names by its hash alone."""
OPENING = '<script type="application/x-ndjson" id="log">\n'


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportVerification:
    """What a check of an export found."""

    result: Verification
    key: str
    """Fingerprint of the key inside the file: compare it with the log's."""


def write_export(path: Path, rows: Iterable[Row], key: "Ed25519PrivateKey", witness: SecondPlace) -> None:
    """Write `rows` whole or not at all."""
    public = witness.public_key() or public_bytes(key)
    lines = [canonical({"format": FORMAT, "exported_at": utc_text(), "public_key": public.hex(), "how": HOW})]
    last: Row | None = None
    for last in rows:
        try:
            text = event_of(last).text
        except ValueError:
            text = last.details
        lines.append(json.dumps({"text": text, "hash": last.hash, "signature": last.signature}))
    heads = witness.read()
    witnessed = heads.get(heads.last)
    end = {
        "records": len(lines) - 1,
        "head": last.hash if last else "",
        "witnessed": {"seq": heads.last, "hash": witnessed.hash if witnessed else ""},
    }
    lines.append(canonical({"end": end, "signature": key.sign(canonical(end).encode()).hex()}))
    text = "\n".join(lines) + "\n"
    _write(path, _page(text, public) if path.suffix == ".html" else text)


def verify_export(path: Path, *, public: bytes | None = None) -> ExportVerification:
    """Check an export by what it carries; with `public`, also that this key signed it.

    Raises:
        DamagedLogError: when the file is no export.
    """
    lines = _lines(path)
    try:
        carried = bytes.fromhex(json.loads(lines[0])["public_key"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DamagedLogError(f"{path.name} is no audit export: its first line names no public key") from error
    if public is not None and carried != public:
        wrong = Verification(ok=False, checked=0, problem="the export is signed with another key than this log's")
        return ExportVerification(result=wrong, key=fingerprint(carried))
    end = _signed_end(lines[-1], _last_key(lines, carried))
    heads = Heads()
    if end is not None and end["records"]:
        told = {end["records"]: end["head"], end["witnessed"]["seq"]: end["witnessed"]["hash"]}
        heads = Heads.of(Head(seq, record_hash, UNKNOWN_SIGNATURE) for seq, record_hash in told.items())
    result = verify_rows(_rows(lines[1:-1] if end is not None else lines[1:]), carried, heads)
    if result.ok and end is None:
        problem = f"the export has no signed end: what came after record {result.checked} is cut"
        result = Verification(ok=False, checked=result.checked, first_bad=result.checked + 1, problem=problem)
    elif result.ok and end is not None and result.checked != end["records"]:
        problem = f"the export holds {result.checked} records, its signed end says {end['records']}"
        result = Verification(ok=False, checked=result.checked, first_bad=result.checked + 1, problem=problem)
    return ExportVerification(result=result, key=fingerprint(carried))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedLogError(f"cannot read the export {path.name}") from error
    if OPENING in text:
        text = text.split(OPENING, 1)[1].split("</script>", 1)[0]
    return [line for line in text.splitlines() if line]


def _last_key(lines: list[str], public: bytes) -> bytes:
    """Return whose signature the end carries: the last key that a record hands over to, which the walk then proves."""
    for line in reversed(lines):
        if Action.KEY_ROTATED.value in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                event = json.loads(json.loads(line)["text"])
                if event["action"] == Action.KEY_ROTATED:
                    return bytes.fromhex(event["details"]["public_key"])
    return public


def _signed_end(line: str, public: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
        end, signature = found["end"], found["signature"]
        complete = {"records", "head", "witnessed"} <= set(end)
    except (ValueError, KeyError, TypeError):
        return None
    return end if complete and signature_holds(public, signature, canonical(end)) else None


def _rows(lines: Iterable[str]) -> Iterator[Row]:
    for line in lines:
        try:
            found = json.loads(line)
            event = AuditEvent(**json.loads(found["text"]))
            digest = found["hash"] if event.text == found["text"] else ""
            fields = (event.seq, event.time, event.actor, event.action, event.subject, canonical(event.details))
            yield Row(*fields, event.previous_hash, digest, found["signature"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedLogError("a line of the export is no record: it was changed") from error


def _page(lines: str, public: bytes) -> str:
    template = resources.files("audit").joinpath("export.html").read_text()
    # A "<" stands only inside JSON strings, where its escape means the same and cannot end the script element.
    return template.replace("@KEY@", html.escape(fingerprint(public))).replace("@LOG@", lines.replace("<", "\\u003c"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
