"""`thorax up`, `status`, `down`, `logs`, `doctor`: the servers of one machine."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit, say

if TYPE_CHECKING:
    from thorax.stack.launch import StackEvent

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

COLOURS = {"ready": "green", "running": "green", "starting": "yellow", "failed": "red", "died": "red", "stopped": "dim"}


def up(as_json: AsJson = False) -> None:
    """Start the servers, or find them running; mend what a kill or a reboot left."""
    from thorax import stack
    from thorax.stack.credentials import are_shown
    from thorax.stack.places import Places

    home = _home()
    with _ServerLines() as lines:
        addresses = stack.up(home, on_event=lines.show)
    shown = {
        "mlflow": addresses.mlflow,
        "model": addresses.model_page,
        "s3": addresses.s3,
        "inference": addresses.inference,
        "management": addresses.management,
        "metrics": addresses.metrics,
        "credentials": str(Places.of(home).credentials),
    }
    emit(shown, as_json=as_json, text=_table(("what", "where"), [[name, where] for name, where in shown.items()]))
    if not are_shown(Places.of(home)):
        _show_passwords(home)


def status(as_json: AsJson = False) -> None:
    """Look at each server, changing nothing; exit 1 unless all run."""
    from dataclasses import asdict

    from thorax import stack

    found = stack.status(_home())
    rows = [
        [
            server.name,
            _coloured(server.state),
            str(server.pid or ""),
            server.url,
            "" if server.uptime_s is None else _duration(server.uptime_s),
            "" if server.memory_mib is None else f"{server.memory_mib:.0f} MiB",
            server.detail,
        ]
        for server in found
    ]
    columns = ("server", "state", "process", "address", "up for", "memory", "note")
    emit([asdict(server) for server in found], as_json=as_json, text=_table(columns, rows))
    if any(server.state != "running" for server in found):
        raise typer.Exit(1)


def down(as_json: AsJson = False) -> None:
    """End every server and every process it started."""
    from thorax import stack

    with _ServerLines() as lines:
        ended = stack.down(_home(), on_event=lines.show)
    emit({"stopped": ended}, as_json=as_json, text=f"stopped: {', '.join(ended)}" if ended else "nothing was running")


def logs(
    server: Annotated[str, typer.Argument(help="mlflow, s3, torchserve, edge or controller; all where absent.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 40,
    as_json: AsJson = False,
) -> None:
    """Print the end of the servers' logs."""
    from thorax.stack.logbook import last_lines

    found = last_lines(_home(), server, lines=lines)
    text = (
        "\n".join(f"==> {name}\n" + "\n".join(rows) for name, rows in found.items()) or "no logs yet: run `thorax up`"
    )
    emit(found, as_json=as_json, text=text)


def doctor(as_json: AsJson = False) -> None:
    """Check this machine and say what to do about each finding; exit 1 if something blocks."""
    from dataclasses import asdict

    from thorax.stack.doctor import examine

    findings = examine(_home())
    colours = {"ok": "green", "warning": "yellow", "blocks": "red"}
    rows = [[item.check, f"[{colours[item.level]}]{item.level}[/]", item.found, item.advice] for item in findings]
    emit(
        [asdict(item) for item in findings],
        as_json=as_json,
        text=_table(("check", "level", "found", "what to do"), rows),
    )
    if any(item.level == "blocks" for item in findings):
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {"up": up, "status": status, "down": down, "logs": logs, "doctor": doctor}


class _ServerLines:
    """A line a server: a spinner that becomes a result where there is a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from thorax.console import talk

        self._is_live = talk.is_terminal
        columns = (SpinnerColumn(finished_text="·"), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=talk)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "_ServerLines":
        if self._is_live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._progress.stop()

    def show(self, event: "StackEvent") -> None:
        """Draw or print one event."""
        if not self._is_live or not event.server:
            say(str(event))
            return
        text = f"{event.server:<11}{_coloured(event.state)}"
        if event.server not in self._tasks:
            self._tasks[event.server] = self._progress.add_task(text, total=1)
        is_over = event.state != "starting"
        self._progress.update(self._tasks[event.server], description=text, completed=int(is_over))


def _home() -> Path:
    from imaging.settings import Settings

    return Settings().home


def _show_passwords(home: Path) -> None:
    """Show the passwords once to a person: at the first `up` that gets here, whatever made them."""
    from thorax.stack.credentials import load_credentials, mark_shown
    from thorax.stack.places import Places

    made = load_credentials(Places.of(home))
    if made:
        say("[bold]MLflow's users and passwords, shown this once[/] (kept in credentials.json, readable by you alone):")
        for role, password in made.mlflow.items():
            say(f"  {role:<11}{password}")
        mark_shown(Places.of(home))


def _coloured(state: str) -> str:
    return f"[{COLOURS.get(state, 'default')}]{state}[/]"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> Any:
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    return table
