"""`thorax models`: what is registered, who stands where, approve a version, release it."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thorax.commands.models_evaluate import evaluate
from thorax.commands.models_export import export
from thorax.commands.models_join import join
from thorax.commands.models_verify import verify
from thorax.console import emit, say, talk

if TYPE_CHECKING:
    from rich.table import Table

    from audit import AuditEvent
    from imaging.registry import Registry, VersionInfo
    from imaging.settings import Settings
    from thorax.stack.environment import Role

app = typer.Typer(help="Look at registered models, approve one, release it, test one elsewhere.", no_args_is_help=True)
app.command()(evaluate)
app.command()(export)
app.command()(join)
app.command()(verify)

Version = Annotated[str, typer.Argument(help="A version's number; `list` shows them.")]
Model = Annotated[str, typer.Option("--model", help="The registered model; only chest-xray is approved and served.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
User = Annotated[Literal["approver", "trainer", "admin"], typer.Option("--as", help="The MLflow user who approves.")]
Meaning = Annotated[str, typer.Option(help="What the approval means; it stays on the record.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it serves, or was refused.")]
Within = Annotated[float, typer.Option("--timeout", help="Seconds to wait.")]

OUTCOMES = ("release.completed", "release.rolled_back", "approval.refused")


@app.command("list")
def list_(model: Model = "chest-xray", as_json: Json = False) -> None:
    """Show every version, the newest first."""
    registry, _ = sign_in("trainer", model)
    versions = registry.versions()
    emit([asdict(version) for version in versions], as_json=as_json, text=_table(versions))


@app.command()
def show(version: Version, model: Model = "chest-xray", as_json: Json = False) -> None:
    """Show one version with its tags and its model card."""
    registry, _ = sign_in("trainer", model)
    info = registry.get(version)
    lines = [
        f"version      {info.version}",
        f"aliases      {', '.join(info.aliases) or '-'}",
        f"author       {info.author}",
    ]
    lines += [f"{name:<20} {value}" for name, value in sorted(info.tags.items())]
    emit(asdict(info), as_json=as_json, text="\n".join([*lines, "", info.description]))


@app.command()
def approve(
    version: Version,
    user: User = "approver",
    meaning: Meaning = "reviewed the evaluation and the model card; fit to be served",
    wait: Wait = False,
    timeout_s: Within = 300.0,
    as_json: Json = False,
) -> None:
    """Make a version champion, as an approver; the release step then loads exactly that version."""
    registry, settings = sign_in(user)
    subject = f"chest-xray/{version}"
    known = len(_outcomes(settings.home, subject))
    if "champion" in registry.get(version).aliases and not _is_waiting(settings.home, version):
        emit({"version": version, "outcome": "unchanged"}, as_json=as_json, text=f"version {version} already serves")
        return
    registry.set_tag(version, "approval.meaning", meaning)
    registry.set_alias(version, "champion")
    say(f"version {version} is champion, set by {user}")
    if not wait:
        emit(
            {"version": version, "outcome": "approved"}, as_json=as_json, text="`thorax models list` shows the release"
        )
        return
    event = _wait_for_outcome(settings.home, subject, known, timeout_s)
    reason = str(event.details.get("reason", ""))
    done = event.action == "release.completed"
    text = f"version {version} serves" if done else f"version {version} does not serve: {reason}"
    emit({"version": version, "outcome": event.action, "reason": reason}, as_json=as_json, text=text)
    if not done:
        raise typer.Exit(1)


@app.command()
def release(as_json: Json = False) -> None:
    """Compare the champion with what serves, once, and do what is missing; the controller does so by itself."""
    from serving.release.reconciling import reconcile

    _, settings = sign_in("controller")
    result = reconcile(settings)
    text = f"{result.outcome}: version {result.serving or 'none'} serves"
    emit(asdict(result), as_json=as_json, text=f"{text} ({result.reason})" if result.reason else text)
    if result.outcome in ("refused", "rolled_back", "unavailable"):
        raise typer.Exit(1)


def sign_in(role: "Role", model: str = "chest-xray") -> tuple["Registry", "Settings"]:
    """Act as one MLflow user of this home's stack; without a stack, as the environment says."""
    from imaging.errors import ServiceError
    from imaging.registry import Registry
    from imaging.settings import Settings
    from thorax.stack.environment import settings_for

    settings = Settings()
    try:
        settings = settings_for(settings.home, role)
    except ServiceError:
        if not settings.mlflow_uri:
            raise
    return Registry.from_settings(settings, model), settings


def _outcomes(home: Path, subject: str) -> "list[AuditEvent]":
    from audit import AuditLog, default_folder

    events = AuditLog(default_folder(home)).events(subject=subject)
    return [event for event in events if event.action in OUTCOMES]


def _is_waiting(home: Path, version: str) -> bool:
    """Tell whether the release step has not made this version serve yet."""
    from serving.release.state import load_state

    serving = load_state(home / "release").serving
    return serving is None or serving.version != version


def _wait_for_outcome(home: Path, subject: str, known: int, timeout_s: float) -> "AuditEvent":
    """Wait for the record of what became of the approval."""
    from imaging.errors import ServiceError

    deadline = time.monotonic() + timeout_s
    with talk.status("the release controller loads, smoke-tests and switches…"):
        while time.monotonic() < deadline:
            outcomes = _outcomes(home, subject)
            if len(outcomes) > known:
                return outcomes[-1]
            time.sleep(0.5)
    raise ServiceError(f"no release outcome within {timeout_s:.0f} s: is the controller up? see `thorax status`")


def _table(versions: "list[VersionInfo]") -> "Table":
    from rich.table import Table

    columns = ("version", "aliases", "gates", "deployment", "recipe", "trigger", "approved by")
    table = Table(*columns, box=None, pad_edge=False)
    for info in versions:
        tags = ("gates", "deployment.status", "recipe", "trigger", "approved_by")
        table.add_row(info.version, ", ".join(info.aliases) or "-", *(info.tags.get(tag, "-") for tag in tags))
    return table
