"""`thorax audit`: prove the record whole, look into it, hand it to an inspector."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit, say

if TYPE_CHECKING:
    from audit import AuditEvent, AuditLog

app = typer.Typer(help="Verify, show and export the audit record.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def verify(
    file: Annotated[Path | None, typer.Option(help="Check this export instead of the log.")] = None,
    every_signature: Annotated[
        bool, typer.Option("--every-signature", help="Verify each one against the key, not each hundredth: slower.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prove that no event was changed, inserted, moved, removed or cut off; exit 1 and name the first that was."""
    from audit.export import verify_export

    log = _log()
    key = ""
    if file is None:
        found = log.verify(every_signature=every_signature)
        _tell_prometheus(ok=found.ok)
    else:
        known = log.witness.public_key()
        checked = verify_export(file, public=known)
        found, key = checked.result, checked.key
        if known is None:
            say(f"no log here to compare with: check that its key is {key}")
    told = {"ok": found.ok, "checked": found.checked, "first_bad": found.first_bad, "problem": found.problem}
    if found.ok:
        text = f"{found.checked} events hold: chain, signatures" + (", witness" if file is None else "")
    else:
        text = f"the record does not hold: {found.problem}"
        text += f"\nfirst bad record: {found.first_bad}" if found.first_bad is not None else ""
    emit({**told, "key": key} if key else told, as_json=as_json, text=text)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def show(
    action: Annotated[str | None, typer.Option(help="Only this action, as drift.detected.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject, as chest-xray/3.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only from this time on (UTC).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest that many.")] = None,
    as_json: Json = False,
) -> None:
    """Show events, oldest first; showing does not verify them."""
    from datetime import UTC

    from audit.event import checked_action

    chosen = checked_action(action) if action else None
    moment = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
    events = _log().events(action=chosen, subject=subject, since=moment, limit=limit)
    emit([event.to_json() for event in events], as_json=as_json, text=_table(events))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="File to write: .html checks itself in a browser, else JSON lines.")],
    verifier: Annotated[
        Path | None, typer.Option(help="Also write a short program that checks it without Thorax (Python).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a self-verifying copy for an inspector."""
    from audit.export import verify_export

    written = _log().export(path)
    checked = verify_export(written)
    told = {"path": str(written), "records": checked.result.checked, "ok": checked.result.ok, "key": checked.key}
    if verifier:
        told["verifier"] = _write_verifier(verifier)
    emit(told, as_json=as_json, text=f"{written}: {checked.result.checked} events, key {checked.key}")
    if not checked.result.ok:
        say(f"the record itself does not hold: {checked.result.problem}")
        raise typer.Exit(1)


@app.command()
def report(
    html: Annotated[Path, typer.Option("--html", help="Page to write.")],
    begin: Annotated[datetime | None, typer.Option("--from", help="First moment (UTC), else the record's.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Moment after the last (UTC), else now.")] = None,
    as_json: Json = False,
) -> None:
    """Write a page for an inspector: who approved what and on which evidence, what served, what was refused."""
    from datetime import UTC

    from audit.report import moment, write_report
    from imaging.errors import ConfigurationError

    log = _log()
    first = log.events(limit=None)[:1]
    since = begin.replace(tzinfo=UTC) if begin else moment(first[0]) if first else datetime.now(UTC)
    until = end.replace(tzinfo=UTC) if end else datetime.now(UTC)
    if until <= since:
        raise ConfigurationError("--to is a moment after --from")
    found = write_report(html, log, begin=since, end=until)
    counts = {"approvals": len(found.approvals), "refusals": len(found.refusals), "served": len(found.services)}
    text = f"{html}: {counts['approvals']} approvals, {counts['refusals']} refused or rolled back"
    emit({"path": str(html), **counts}, as_json=as_json, text=text)


@app.command()
def prove(
    request_id: Annotated[str, typer.Argument(help="As the answer has it.")],
    out: Annotated[Path | None, typer.Option(help="File to write the proof to (JSON); else it is printed.")] = None,
    as_json: Json = False,
) -> None:
    """Prove that a request is in the prediction log as the record vouches for it, without the other requests."""
    import json

    from imaging.atomic import write_text
    from imaging.settings import Settings
    from monitoring.proof import prove as proofs_of

    proofs = proofs_of(Settings().home / "predictions" / "parquet", _log(), request_id)
    if out is None:
        emit(proofs if as_json or len(proofs) > 1 else proofs[0], as_json=True)
        return
    for number, proof in enumerate(proofs):
        path = out if number == 0 else out.with_name(f"{out.stem}-{number + 1}{out.suffix}")
        write_text(path, json.dumps(proof, indent=2) + "\n")
        text = f"{path}: version {proof['row']['model_version']}, event {proof['event']['seq']} of the record"
        emit({"path": str(path), "event": proof["event"]}, as_json=as_json, text=text)


@app.command("check-proof")
def check_proof(file: Annotated[Path, typer.Argument(help="What `prove` wrote.")], as_json: Json = False) -> None:
    """Check a proof against the record; exit 1 where a row, a path or an event was changed."""
    from monitoring.proof import check_proof as check
    from monitoring.proof import read_proof

    proof = read_proof(file)
    event = check(proof, _log())
    told = {"ok": True, "request_id": proof["row"]["request_id"], "event": event.seq, "time": event.time}
    emit(told, as_json=as_json, text=f"it holds: in the record since {event.time[:19]}, event {event.seq}")


@app.command("rotate-key")
def rotate_key(
    key: Annotated[
        Path | None, typer.Option(help="File with the other key (64 hexadecimal digits), for a mounted secret.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let another key sign the record from now on; the old one signs which, and then writes nothing more."""
    import os

    event = _log().rotate_key(actor=os.environ.get("THORAX_ACTOR") or "administrator", following=key)
    told = {"seq": event.seq, "key": str(event.details["fingerprint"])}
    emit(told, as_json=as_json, text=f"event {event.seq}: the record's next events are signed by {told['key']}")
    if key is not None:
        say("put that key into the secret now: until then nothing can be recorded")


@app.command()
def schema(
    writer: Annotated[
        list[str] | None, typer.Option(help="A role that may append and read, and nothing else; repeat it.")
    ] = None,
) -> None:
    """Print the SQL by which a PostgreSQL's owner makes the table: thorax audit schema --writer NAME | psql."""
    from audit.postgres import schema as sql

    typer.echo(sql(tuple(writer or ())), nl=False)


def _write_verifier(path: Path) -> str:
    """Write the program that checks an export by itself; say how it is run with this log's key."""
    from importlib import resources

    from imaging.atomic import write_text

    write_text(path, resources.files("audit").joinpath("standalone_verifier.py").read_text(encoding="utf-8"))
    public = (_log().witness.public_key() or b"").hex()
    say(f"give the inspector this by another way than the export: python3 {path.name} FILE {public}")
    return str(path)


def _tell_prometheus(*, ok: bool) -> None:
    """Leave the outcome for the alerts, where this home can be written."""
    import contextlib

    from imaging.settings import Settings
    from monitoring.exporter import mark, write_metrics

    with contextlib.suppress(OSError):
        mark(Settings().home, "verified", ok=ok)
        write_metrics(Settings())


def _log() -> "AuditLog":
    from audit import AuditLog, default_folder

    return AuditLog(default_folder())


def _table(events: "list[AuditEvent]") -> Any:
    from rich.table import Table
    from rich.text import Text

    from audit.event import canonical

    table = Table()
    for name in ("#", "time", "actor", "action", "subject", "details"):
        table.add_column(name, overflow="fold")
    for event in events:
        when = event.time[:19].replace("T", " ")
        cells = (str(event.seq), when, event.actor, event.action, event.subject, canonical(event.details))
        table.add_row(*(Text(cell) for cell in cells))
    return table
