"""`thorax release`: where a release stands, what was released, wait, go on, go back."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thorax.console import emit, say, talk

if TYPE_CHECKING:
    from rich.table import Table

    from audit import AuditEvent
    from imaging.settings import Settings
    from serving.release.comparison import Comparison
    from serving.release.overview import Standing

app = typer.Typer(help="How an approved version takes over: look, wait, go on, go back.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
User = Annotated[Literal["approver", "admin"], typer.Option("--as", help="Who decides it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")]
Back = Annotated[str, typer.Argument(help="The version to go back to; the one that served before where absent.")]
Within = Annotated[float, typer.Option("--timeout", help="Seconds to wait.")]
Picture = Annotated[Path | None, typer.Option("--picture", help="Draw both versions' scores into this PNG file.")]
Days = Annotated[float, typer.Option("--days", help="How far back the prediction log is read.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Only the newest that many.")]


@app.command()
def status(as_json: Json = False) -> None:
    """Show what serves, what takes over, and what it has shown so far."""
    from serving.release.overview import standing

    found = standing(_settings())
    emit(found.to_json(), as_json=as_json, text=_standing(found))


@app.command()
def history(limit: Limit = 30, as_json: Json = False) -> None:
    """Show who approved what, what was refused, and how each release went."""
    from audit import AuditLog, default_folder
    from serving.release.overview import history as events_of

    events = events_of(AuditLog(default_folder(_settings().home)))[-limit:]
    rows = [
        {"time": event.time, "actor": event.actor, "action": event.action, "subject": event.subject}
        | {"details": event.details}
        for event in events
    ]
    emit(rows, as_json=as_json, text=_history(events) if events else "nothing was released yet")


@app.command()
def pause(reason: Reason, user: User = "approver", as_json: Json = False) -> None:
    """Let releases wait: none begins and no step ends. What breaks a bound is still rolled back."""
    from audit import AuditLog, default_folder
    from serving.release.orders import pause as order
    from serving.release.overview import release_folder

    settings = _settings()
    given = order(release_folder(settings.home), AuditLog(default_folder(settings.home)), by=user, reason=reason)
    emit(given.model_dump(), as_json=as_json, text=f"paused by {given.by}; `thorax release resume` goes on")


@app.command()
def resume(
    user: User = "approver", reason: Annotated[str, typer.Option("--reason")] = "", as_json: Json = False
) -> None:
    """Let releases go on."""
    from audit import AuditLog, default_folder
    from serving.release.orders import resume as order
    from serving.release.overview import release_folder

    settings = _settings()
    did = order(release_folder(settings.home), AuditLog(default_folder(settings.home)), by=user, reason=reason)
    emit({"resumed": did}, as_json=as_json, text="releases go on" if did else "they were not waiting")


@app.command()
def hold(reason: Reason, as_json: Json = False) -> None:
    """Refer every answer to a radiologist from now on; the model goes on answering. An approver lifts it."""
    from audit import AuditLog, default_folder
    from serving.release.hold import hold as order
    from serving.release.overview import release_folder

    settings = _settings()
    log, by = AuditLog(default_folder(settings.home)), settings.actor or "person"
    given = order(release_folder(settings.home), log, by=by, reason=reason)
    emit(given.model_dump(), as_json=as_json, text="on hold: every answer is referred; `thorax release lift` ends it")


@app.command()
def lift(reason: Reason, user: User = "approver", as_json: Json = False) -> None:
    """End a hold; an approver's decision, who signs in to the registry for it."""
    from audit import AuditLog, default_folder
    from serving.release.hold import lift as order
    from serving.release.overview import release_folder
    from thorax.commands.models import sign_in

    registry, settings = sign_in(user)
    registry.versions()  # the registry knows who it is, or refuses
    did = order(release_folder(settings.home), AuditLog(default_folder(settings.home)), by=user, reason=reason)
    emit({"lifted": did}, as_json=as_json, text="answers are reported again" if did else "there was no hold")


@app.command()
def rollback(
    reason: Reason,
    version: Back = "",
    user: Annotated[Literal["approver", "admin", "trainer"], typer.Option("--as", help="Who decides it.")] = "approver",
    timeout_s: Within = 60.0,
    as_json: Json = False,
) -> None:
    """Send all traffic back to the version before, which is still loaded; an approver's decision, on the record."""
    from imaging.errors import ConfigurationError, NotFoundError
    from serving.release.overview import release_folder
    from serving.release.state import load_state
    from thorax.commands.models import sign_in

    if not reason.strip():
        raise ConfigurationError("a rollback needs a reason, which stays on the record")
    registry, settings = sign_in(user)
    state = load_state(release_folder(settings.home))
    back = version or _before(state)
    if not back:
        raise NotFoundError("no version served before; name one that is registered")
    registry.set_tag(back, "approval.meaning", reason.strip())
    registry.set_alias(back, "champion")
    say(f"version {back} is champion, set by {user}")
    seconds = _wait_until_it_serves(settings, back, timeout_s)
    done = seconds is not None
    text = f"version {back} serves after {seconds:.1f} s" if done else f"version {back} takes over step by step"
    outcome = "serves" if done else "rolling_out"
    emit({"version": back, "outcome": outcome, "seconds": seconds}, as_json=as_json, text=text)


@app.command()
def compare(picture: Picture = None, days: Days = 30.0, as_json: Json = False) -> None:
    """Compare a version in shadow with the one that serves, on the images that both answered."""
    from imaging.atomic import write_bytes
    from serving.release.comparison import draw_comparison
    from serving.release.overview import compare_versions

    found = compare_versions(_settings(), days=days)
    if picture:
        write_bytes(picture, draw_comparison(found))
    emit(found.to_json(), as_json=as_json, text=_comparison(found))


def _settings() -> "Settings":
    from imaging.settings import Settings

    return Settings()


def _before(state: object) -> str:
    """Return where to go back to: during a rollout the version that still serves, else the one before it."""
    pending, serving = getattr(state, "pending", None), getattr(state, "serving", None)
    previous = getattr(state, "previous", None)
    back = serving if pending and serving else previous
    return str(back.version) if back else ""


def _wait_until_it_serves(settings: "Settings", version: str, timeout_s: float) -> float | None:
    """Wait until a version answers everything; return the seconds since the call, or None where it takes steps."""
    from audit import AuditLog, default_folder
    from imaging.errors import ReleaseRefusedError, ServiceError
    from serving.release.overview import history as events_of
    from serving.release.overview import release_folder
    from serving.release.state import load_state

    log, begin = AuditLog(default_folder(settings.home)), time.monotonic()
    known = len(events_of(log))
    with talk.status("the release controller sends traffic back…"):
        while time.monotonic() < begin + timeout_s:
            state = load_state(release_folder(settings.home))
            pending = state.pending
            is_ours = pending is not None and pending.version == version
            if state.serving and state.serving.version == version and (pending is None or is_ours):
                return time.monotonic() - begin
            if pending and is_ours and pending.plan:
                return None
            for event in events_of(log)[known:]:
                if event.action in ("approval.refused", "release.rolled_back") and event.subject.endswith(
                    f"/{version}"
                ):
                    raise ReleaseRefusedError(f"version {version} does not serve: {event.details.get('reason', '')}")
            time.sleep(0.1)
    raise ServiceError(f"version {version} does not serve after {timeout_s:.0f} s: is the controller up?")


def _standing(found: "Standing") -> str:
    lines = [f"serving      {found.serving or 'none'}"]
    way = "" if found.may_return or not found.previous else " (somebody went back from it: it would be rolled out anew)"
    lines.append(f"way back     {found.previous or 'none'}{way}")
    if found.held:
        lines.append(f"ON HOLD      {found.held}; every answer is referred")
    if found.paused:
        lines.append(f"paused       {found.paused}")
    if found.version is None:
        return "\n".join(lines)
    lines.append(f"taking over  version {found.version}, {found.step}")
    if found.steps:
        lines.append(f"steps        {' > '.join(found.steps)} > all")
        lasted = f"{found.seconds:.0f} s of {found.of_seconds:.0f} s"
        lines.append(f"lasted       {lasted}, with at least {found.of_requests} requests")
    if found.evidence:
        one = found.evidence
        lines.append(f"so far       {one.requests} requests, {one.errors} errors; the one that serves: {one.others}")
        if one.compared:
            alike = one.compared - one.disagreed
            lines.append(
                f"             same class for {alike} of {one.compared} images, scores {one.score_shift:.3f} apart"
            )
    if found.breach:
        lines.append(f"breach       {found.breach}")
    return "\n".join(lines)


def _history(events: "list[AuditEvent]") -> "Table":
    from rich.table import Table

    table = Table("time (UTC)", "who", "what", "version", "why, or how far", box=None, pad_edge=False)
    for event in events:
        version = event.subject.removeprefix("chest-xray/")
        told = event.details.get("reason") or event.details.get("step") or event.details.get("meaning") or ""
        did = str(event.details.get("did", event.action)) if event.action == "config.changed" else event.action
        table.add_row(event.time[:19].replace("T", " "), event.actor, did, version, str(told))
    return table


def _comparison(found: "Comparison") -> "Table":
    from rich.table import Table

    table = Table(f"version {found.serving}, serving", *(f"{found.new}: {name}" for name in found.classes))
    for name, counts in zip(found.classes, found.table, strict=True):
        table.add_row(name, *map(str, counts))
    one, shift = found.agreement, found.score_shift
    kappa = f", kappa {found.kappa.value:.2f} ({found.kappa.low:.2f} to {found.kappa.high:.2f})" if found.kappa else ""
    table.title = f"{found.images} images: the same class for {one.value:.1%} ({one.low:.1%} to {one.high:.1%}){kappa}"
    table.caption = f"scores are {shift.value:.3f} apart on the mean ({shift.low:.3f} to {shift.high:.3f})"
    return table
