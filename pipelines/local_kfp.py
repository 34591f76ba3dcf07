"""KFP's local orchestrator, with our processes, our cache and our record put in its places.

KFP 2.17 runs a pipeline well on one machine but prints to stdout, streams every step's log there, enforces
no time limit, hides a step's error and names its folders itself. The four functions that decide this are
replaced for the length of one run and put back; `tests/pipelines/test_runner.py` fails if KFP moves them.
"""

import builtins
import contextlib
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp import local
from kfp.local import cache, executor_input_utils, status, subprocess_task_handler
from kfp.local.orchestrator import task_executor

from imaging.threads import SPIN_VARIABLES
from pipelines.run_record import RunRecord, plain_name
from pipelines.step_cache import StepCache
from pipelines.step_process import StepEnd, explain_failure, run_step

STEPS = "steps"
"""The folder of a run that holds its steps' outputs."""
SIDE_BY_SIDE = 2
"""Iterations of a loop that KFP's local orchestrator runs at once, however many a pipeline allows."""
_ITERATION = re.compile(r"-iteration-(\d+)")


@dataclass
class Engine:
    """What one run puts in KFP's places."""

    run_dir: Path
    record: RunRecord
    cache: StepCache
    environment: dict[str, str]
    limits: dict[str, float]
    """Seconds that one attempt of a step may take; a step without a row has the run's."""
    deadline: float
    """`time.monotonic()` at which the run must have ended."""
    _here: threading.local = field(default_factory=threading.local)
    _failed: threading.Event = field(default_factory=threading.Event)

    def log(self, step: str) -> Path:
        """Return a step's log file."""
        return self.run_dir / "logs" / f"{step}.log"

    def launch(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Stand in for `run_local_subprocess`: run the current step's process."""
        step = self._here.step
        limit = min(self.limits.get(plain_name(step), float("inf")), self.deadline - time.monotonic())
        scratch = self.run_dir / "tmp" / step
        scratch.mkdir(parents=True, exist_ok=True)
        environment = {**self.environment, **(env_vars or {}), "TMPDIR": str(scratch)}
        if step != plain_name(step):
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // SIDE_BY_SIDE)))
        self._here.ran = True
        self._here.end = run_step(full_command, log=self.log(step), environment=environment, timeout_s=limit)
        self._here.limit = limit
        return 1 if self._here.end.timed_out else self._here.end.status

    def observed(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `execute_single_task` so that the record knows of every step, and none begins after one failed."""

        def run_observed(*, task_name: str, pipeline_resource_name: str, **rest: Any) -> Any:
            if self._failed.is_set():
                return {}, status.Status.FAILURE
            here, step = self._here, step_name(task_name, pipeline_resource_name)
            here.step, here.ran, here.end, here.limit = step, False, StepEnd(status=1), 0.0
            self.record.begin(step)
            outputs, state = execute(task_name=task_name, pipeline_resource_name=pipeline_resource_name, **rest)
            if state is status.Status.SUCCESS:
                self.record.end(step, outputs, cached=not here.ran)
            else:
                self._failed.set()
                self.record.fail(step, explain_failure(here.end, self.log(step), timeout_s=here.limit))
            return outputs, state

        return run_observed


def step_name(task: str, folder: str) -> str:
    """Return the name of a step in a run: the task's, and in a loop the iteration's number, `train-model/2`.

    Args:
        task: KFP's name of the task.
        folder: Where KFP keeps the outputs; it names the iterations that the task is in.
    """
    return "/".join([task, *_ITERATION.findall(folder)])


def execute(pipeline: Any, arguments: dict[str, Any], engine: Engine) -> None:
    """Run a compiled pipeline; how each step ended is in the engine's record."""
    root = str(engine.run_dir)
    with _in_place(engine), _quiet(engine.run_dir / "logs" / "kfp.log"):
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=root,
            workspace_root=str(engine.run_dir / "workspace"),
            raise_on_error=False,
            enable_caching=True,
            cache_root=engine.cache.cache_root,
        )
        pipeline(**arguments)


@contextlib.contextmanager
def _in_place(engine: Engine) -> Iterator[None]:
    observed = engine.observed(task_executor.execute_single_task)
    with (
        _replaced(task_executor, "execute_single_task", observed),
        _replaced(subprocess_task_handler, "run_local_subprocess", engine.launch),
        _replaced(cache, "get_local_cache", lambda: engine.cache),
        _replaced(executor_input_utils, "get_local_pipeline_resource_name", lambda _: STEPS),
    ):
        yield


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send all that KFP says to `log`, and leave print, stdout, logging and warnings as they were."""
    log.parent.mkdir(parents=True, exist_ok=True)
    printing, handlers, level = builtins.print, logging.root.handlers[:], logging.root.level
    stdout = sys.stdout
    with log.open("a", buffering=1) as file, contextlib.redirect_stdout(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            builtins.print, sys.stdout = printing, stdout
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)


def step_environment(home: Path, code_root: Path) -> dict[str, str]:
    """Return the variables of every step: ours, this home, and the code that is running now."""
    paths = [str(code_root), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {
        **SPIN_VARIABLES,
        **os.environ,
        "THORAX_HOME": str(home.resolve()),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
