"""A pipeline's steps as they go: a live table on a terminal, a line a step anywhere else."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.table import Table

from thorax.console import say, talk

if TYPE_CHECKING:
    from pipelines.run_record import StepResult

LOOK = {
    "waiting": ("[dim]waiting[/]", "dim"),
    "running": ("[cyan]running[/]", ""),
    "done": ("[green]done[/]", ""),
    "failed": ("[red]failed[/]", ""),
    "skipped": ("[dim]skipped[/]", "dim"),
}


class LiveSteps:
    """A context whose `on_step` a run is given; it draws on stderr only."""

    def __init__(self) -> None:
        self._steps: dict[str, StepResult] = {}
        self._began: dict[str, float] = {}
        self._live = Live(get_renderable=self.table, console=talk, refresh_per_second=4) if talk.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def on_step(self, step: "StepResult") -> None:
        """Take note of a step's change."""
        from pipelines.run_record import placed

        self._steps = {known.name: known for known in placed(tuple(self._steps.values()), step)}
        if step.state == "running":
            self._began[step.name] = time.monotonic()
        if self._live:
            self._live.refresh()
        elif step.state in {"done", "failed"}:
            say(f"{step.name:<18} {_state(step):<16} {step.seconds:6.1f} s")

    def table(self) -> Table:
        """Return the steps so far."""
        return steps_table(list(self._steps.values()), began=self._began)


def steps_table(steps: "list[StepResult] | tuple[StepResult, ...]", *, began: dict[str, float] | None = None) -> Table:
    """Return steps, states and seconds as a table; a running step's seconds from when it `began`."""
    table = Table("step", "state", "seconds", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for step in steps:
        text, style = LOOK[step.state]
        seconds = time.monotonic() - began[step.name] if began and step.state == "running" else step.seconds
        shown = f"{seconds:.1f}" if step.state in {"running", "done", "failed"} else ""
        table.add_row(step.name, "[green]reused[/]" if step.cached else text, shown, style=style)
    return table


def _state(step: "StepResult") -> str:
    return "reused" if step.cached else step.state
