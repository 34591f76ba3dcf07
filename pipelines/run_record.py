"""What a run leaves behind to be read: its steps, outputs and end, in `run.json` from the first moment on."""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from imaging.atomic import write_text
from imaging.errors import NotFoundError

State = Literal["waiting", "running", "done", "failed", "skipped"]
REGISTERING = ("register-model", "register-retrained")
"""The steps whose output is the registered version."""
RECORD = "run.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """Where one step stands."""

    name: str
    state: State = "waiting"
    seconds: float = 0.0
    cached: bool = False
    """Whether an earlier run's outputs stand in."""
    error: str = ""
    """`[code] message`, the step's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """How a run ended, or stands."""

    run_dir: Path
    pipeline: str
    steps: tuple[StepResult, ...] = ()
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By step, then by output: a parameter's value or an artifact's path."""
    passed: bool = False
    ended: bool = False
    seconds: float = 0.0
    started: float = 0.0
    """Seconds since 1970."""
    pid: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    """The pipeline's, but not where the images and labels lie."""

    @property
    def error(self) -> str:
        """The failed step's `[code] message`, or ""."""
        return next((step.error for step in self.steps if step.state == "failed"), "")

    @property
    def version(self) -> str:
        """The registered version's number, or ""."""
        found = (self.outputs.get(step, {}).get("Output", "") for step in REGISTERING)
        return str(next((version for version in found if version), ""))

    def artifact(self, step: str, name: str) -> Path | None:
        """Return the path of one output, if the run has it."""
        path = self.outputs.get(step, {}).get(name)
        return Path(path) if path else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as in `run.json`."""
        return {**asdict(self), "run_dir": str(self.run_dir), "version": self.version, "error": self.error}


def plain_name(step: str) -> str:
    """Return a step's name without the number of its iteration: its row in the table of needs."""
    return step.partition("/")[0]


def placed(steps: tuple[StepResult, ...], changed: StepResult) -> tuple[StepResult, ...]:
    """Return the steps with `changed` in its place: its own, that of its loop's placeholder, or after its siblings."""
    for name in (changed.name, plain_name(changed.name)):
        if name in {step.name for step in steps}:
            return tuple(changed if step.name == name else step for step in steps)
    siblings = [place for place, step in enumerate(steps) if plain_name(step.name) == plain_name(changed.name)]
    after = siblings[-1] + 1 if siblings else len(steps)
    return (*steps[:after], changed, *steps[after:])


class RunRecord:
    """Keeps a run's record up to date and tells `on_step` of every change; steps of a loop change side by side."""

    def __init__(
        self,
        run_dir: Path,
        pipeline: str,
        steps: list[str],
        on_step: Callable[[StepResult], None] | None = None,
        *,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        waiting = tuple(StepResult(name=name) for name in steps)
        self._on_step = on_step or (lambda _: None)
        self._began: dict[str, float] = {}
        self._start = time.monotonic()
        self._lock = threading.RLock()
        who: dict[str, Any] = {"run_dir": run_dir, "pipeline": pipeline, "arguments": dict(arguments or {})}
        self.result = RunResult(steps=waiting, started=time.time(), pid=os.getpid(), **who)
        for step in waiting:
            self._on_step(step)
        self._write()

    def begin(self, name: str) -> None:
        """A step runs."""
        self._began[name] = time.monotonic()
        self._change(StepResult(name=name, state="running"))

    def end(self, name: str, outputs: dict[str, Any], *, cached: bool) -> None:
        """A step ended well."""
        plain = {key: getattr(value, "path", value) for key, value in outputs.items()}
        with self._lock:
            self.result = replace(self.result, outputs={**self.result.outputs, name: plain})
        self._change(StepResult(name=name, state="done", seconds=self._seconds(name), cached=cached))

    def fail(self, name: str, error: str) -> None:
        """A step failed."""
        self._change(StepResult(name=name, state="failed", seconds=self._seconds(name), error=error))

    def close(self, *, passed: bool) -> RunResult:
        """The run ended; what still waits will not run."""
        for step in self.result.steps:
            if step.state == "waiting":
                self._change(replace(step, state="skipped"))
            elif step.state == "running":
                self.fail(step.name, "[interrupted] the run ended before this step did")
        self.result = replace(self.result, passed=passed, ended=True, seconds=round(time.monotonic() - self._start, 2))
        self._write()
        return self.result

    def _seconds(self, name: str) -> float:
        return round(time.monotonic() - self._began.get(name, time.monotonic()), 2)

    def _change(self, changed: StepResult) -> None:
        with self._lock:
            self.result = replace(self.result, steps=placed(self.result.steps, changed))
            self._write()
            self._on_step(changed)

    def _write(self) -> None:
        write_text(self.result.run_dir / RECORD, json.dumps(self.result.to_json(), indent=1, default=str))


def load_run(run_dir: Path) -> RunResult:
    """Read a run's record; a run that was killed is told as ended, its running step as interrupted."""
    kept = json.loads((run_dir / RECORD).read_text())
    steps = tuple(StepResult(**step) for step in kept["steps"])
    ended = kept["ended"] or not _is_alive(kept["pid"], kept["started"])
    if ended and not kept["ended"]:
        error = "[interrupted] the run was killed here"
        steps = tuple(replace(s, state="failed", error=error) if s.state == "running" else s for s in steps)
    names = ("pipeline", "outputs", "passed", "seconds", "started", "pid")
    known = {name: kept[name] for name in names}
    return RunResult(run_dir=run_dir, steps=steps, ended=ended, arguments=kept.get("arguments", {}), **known)


def _is_alive(pid: int, started: float) -> bool:
    """Tell whether the run's process still is; one that began after the run only has its number."""
    try:
        return psutil.Process(pid).create_time() < started + 1
    except psutil.Error:
        return False


def list_runs(home: Path) -> list[RunResult]:
    """Return the runs kept under `home`, the newest first."""
    found = [load_run(file.parent) for file in (home / "runs").glob(f"*/{RECORD}")]
    return sorted(found, key=lambda run: run.started, reverse=True)


def runs_of_version(home: Path, version: str) -> list[RunResult]:
    """Return the runs kept under `home` that registered `version`, the newest first."""
    return [run for run in list_runs(home) if version and run.version == version]


def find_run(home: Path, name: str) -> RunResult:
    """Return the run whose name starts with or ends in `name`; the newest of several.

    Raises:
        NotFoundError: if there is none; the message lists the last few.
    """
    runs = list_runs(home)
    for run in runs:
        if run.run_dir.name.startswith(name) or run.run_dir.name.endswith(name):
            return run
    there = ", ".join(run.run_dir.name for run in runs[:5]) or "none"
    raise NotFoundError(f"no run {name!r}; the last are: {there}")
