"""One step as a process: its own log file, a time limit, nothing left running, and its error in its own words."""

import importlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_READ_BACK = 65536
"""Bytes of a log's end in which its error is looked for."""
_GRACE_S = 5.0
"""Between asking a step to end and ending it."""
_RAISED = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
"""The line of a traceback that names the error: the first that is not indented."""
_KFP_CALL = "_KFP_RUNTIME=true "
_OURS = {"imaging", "audit", "serving", "monitoring", "components", "pipelines"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEnd:
    """How a step's process ended."""

    status: int
    timed_out: bool = False


def run_step(command: Sequence[str], *, log: Path, environment: dict[str, str], timeout_s: float) -> StepEnd:
    """Run a step's command to its end, all it prints in `log`.

    The process dies with this one, however this one ends, and with it all that it started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            _bound_to_us(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            return StepEnd(status=process.wait(timeout=max(timeout_s, 0.0)))
        except subprocess.TimeoutExpired:
            return StepEnd(status=_end(process), timed_out=True)
        except BaseException:  # Ctrl-C too: the step is in a session of its own, where it does not hear of it
            _end(process)
            raise


def _bound_to_us(command: Sequence[str]) -> list[str]:
    """Let the kernel end the step when we are killed, where `setpriv` (util-linux) can ask it to.

    KFP's command is a shell script; `exec` leaves one process instead of a shell and its child.
    """
    script = [part.replace(_KFP_CALL, f"exec env {_KFP_CALL}", 1) if i == 2 else part for i, part in enumerate(command)]
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *script] if setpriv else script


def _end(process: "subprocess.Popen[bytes]") -> int:
    for ask in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ask)
            return process.wait(timeout=_GRACE_S)
        except ProcessLookupError:
            return process.wait()
        except subprocess.TimeoutExpired:
            continue
    return process.wait()


def explain_failure(end: StepEnd, log: Path, *, timeout_s: float) -> str:
    """Return why a step failed as `[code] message`: its own coded error where it raised one."""
    if end.timed_out:
        return f"[step_timeout] took longer than its limit of {timeout_s:.0f} s"
    killed_by = -end.status if end.status < 0 else end.status - 128
    if killed_by in set(signal.Signals):
        hint = "; was there enough memory?" if killed_by == signal.SIGKILL else ""
        return f"[step_killed] ended by {signal.Signals(killed_by).name}{hint}"
    return raised(tail(log)) or f"[step_failed] ended with status {end.status}; see {log}"


def tail(log: Path) -> str:
    """Return the end of a log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _READ_BACK))
        return file.read().decode(errors="replace")


def raised(text: str) -> str:
    """Return the last traceback's error in `text` as `[code] message`, or "" where there is none."""
    _, found, traceback = text.rpartition("Traceback (most recent call last):\n")
    lines = traceback.splitlines() if found else []
    for number, line in enumerate(lines):
        match = _RAISED.match(line)
        if match:
            message = "\n".join([match["message"] or "", *lines[number + 1 :]]).strip()
            code = _code(match["name"])
            return f"[{code}] {message}" if code else f"[step_failed] {match['name']}: {message}"
    return ""


def _code(name: str) -> str:
    """Return the stable code of one of our error classes, "" for anything else."""
    module, _, kind = name.rpartition(".")
    if module.partition(".")[0] not in _OURS:
        return ""
    try:
        return str(getattr(getattr(importlib.import_module(module), kind), "code", ""))
    except (ImportError, AttributeError):
        return ""
