"""`thorax clients`: which integrations may ask the service, and with which tokens."""

from typing import TYPE_CHECKING, Annotated

import typer

from thorax.console import emit, say

if TYPE_CHECKING:
    from thorax.stack.clients import Clients

app = typer.Typer(name="clients", help="Integrations that may ask the service: tokens given, changed, taken.")
Name = Annotated[str, typer.Argument(help="The integration, such as pacs-main: a-z, 0-9 and '-'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command("add")
def add(name: Name, as_json: AsJson = False) -> None:
    """Let an integration in, and print its token once."""
    _show(name, _clients().add(name), as_json)


@app.command("rotate")
def rotate(name: Name, as_json: AsJson = False) -> None:
    """Print one more token; the older ones are known until `retire`."""
    _show(name, _clients().rotate(name), as_json)
    say(f"when {name} uses it: thorax clients retire {name}")


@app.command("retire")
def retire(name: Name, as_json: AsJson = False) -> None:
    """Forget all but an integration's newest token."""
    count = _clients().retire(name)
    emit({"client": name, "forgotten": count}, as_json=as_json, text=f"{name}: {count} older tokens forgotten")


@app.command("revoke")
def revoke(name: Name, as_json: AsJson = False) -> None:
    """Forget all tokens of an integration: from now on it is refused."""
    count = _clients().revoke(name)
    emit(
        {"client": name, "forgotten": count},
        as_json=as_json,
        text=f"{name}: {count} tokens forgotten; it is refused now",
    )


@app.command("list")
def show(as_json: AsJson = False) -> None:
    """List the integrations, without their tokens."""
    from rich.table import Table

    found = _clients().all()
    table = Table("client", "tokens", "newest")
    for one in found:
        table.add_row(one.name, str(one.tokens), one.newest.isoformat(timespec="seconds"))
    rows = [{"client": one.name, "tokens": one.tokens, "newest": one.newest.isoformat()} for one in found]
    emit(rows, as_json=as_json, text=table if found else "none; `thorax clients add NAME` lets one in")


def _show(name: str, token: str, as_json: bool) -> None:
    text = f"token of {name}, shown this once:\n{token}"
    emit({"client": name, "token": token}, as_json=as_json, text=text)


def _clients() -> "Clients":
    from imaging.settings import Settings
    from thorax.stack.clients import Clients
    from thorax.stack.places import Places

    settings = Settings()
    return Clients(Places.of(settings.home), actor=settings.actor or "system")
