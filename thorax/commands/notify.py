"""`thorax notify`: who is told of approvals that wait, refusals, rollbacks and drift."""

from typing import TYPE_CHECKING, Annotated

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from serving.notification.channels import AnyChannel
    from serving.notification.outbox import Outbox

app = typer.Typer(
    help="Tell people what waits and what went wrong; `notifications.json` in the home names the channels.",
    no_args_is_help=True,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each channel, what it has been told, and what waits; exit 1 where the last try of one failed."""
    from rich.table import Table

    outbox = _outbox()
    table, rows = Table("channel", "kind", "about", "told", "given up", "problem"), []
    for channel in _channels():
        found = outbox.standing(channel)
        counts = {"sent": found.sent, "given_up": found.given_up, "tries": found.tries, "problem": found.problem}
        rows.append({"name": channel.name, "kind": channel.kind, "about": list(channel.about), **counts})
        cells = (", ".join(channel.about), str(found.sent), str(found.given_up), found.problem or "-")
        table.add_row(channel.name, channel.kind, *cells)
    emit(rows, as_json=as_json, text=table if rows else "no channel; notifications.json in the home names them")
    if any(row["problem"] for row in rows):
        raise typer.Exit(1)


@app.command()
def send(as_json: AsJson = False) -> None:
    """Send what waits and is due, once; the release controller does so by itself."""
    sent = _outbox().deliver()
    emit({"sent": sent}, as_json=as_json, text=f"{sent} messages sent")


@app.command("test")
def send_test(as_json: AsJson = False) -> None:
    """Send a message that says it is a test to every channel; exit 1 where one does not take it."""
    from datetime import UTC, datetime

    from imaging.errors import ServiceError
    from serving.notification.messages import Message

    now, rows = datetime.now(UTC).isoformat(timespec="seconds"), []
    text = "This is a test. Nothing happened, and there is nothing to do."
    message = Message(topic="paused", subject="Thorax: a test", text=text, key=f"test-{now}", time=now, version="")
    for channel in _channels():
        problem = ""
        try:
            channel.send(message)
        except ServiceError as error:
            problem = str(error)
        rows.append({"name": channel.name, "taken": not problem, "problem": problem})
    told = [f"{row['name']}: {row['problem'] or 'taken'}" for row in rows]
    emit(rows, as_json=as_json, text="\n".join(told) or "no channel; notifications.json in the home names them")
    if any(row["problem"] for row in rows):
        raise typer.Exit(1)


def _channels() -> "tuple[AnyChannel, ...]":
    from imaging.settings import Settings
    from serving.notification.channels import load_channels

    return load_channels(Settings().home)


def _outbox() -> "Outbox":
    from audit import AuditLog, default_folder
    from imaging.settings import Settings
    from serving.notification.outbox import Outbox
    from thorax.stack.places import Addresses, Places, load_ports

    home = Settings().home
    ports = load_ports(Places.of(home))
    page = Addresses.of(ports).model_page if ports else ""
    return Outbox(home=home, log=AuditLog(default_folder(home)), page=page)
