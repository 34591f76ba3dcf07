"""Server processes: started in a session of their own, recorded, found again, and ended to the last child.

A record names the process by number, start and command, so that a number the system gave to somebody else is never
touched. A marker in the environment finds what no record knows: a server whose start was cut short, and the
children of one that was killed.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

import psutil

from imaging.atomic import write_text

STACK_MARKER = "THORAX_STACK_ID"
SERVER_MARKER = "THORAX_STACK_SERVER"
LARGEST_LOG = 5 * 2**20
NOT_YET: list[str] = []
"""The command line of a process that the kernel is still loading, which takes milliseconds on a busy machine."""


class DetachedProcess(subprocess.Popen):
    """A process that is meant to outlive us, so dropping its object is no mistake to warn of."""

    def __del__(self, *_: object) -> None:
        """Leave it running, without a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessRecord:
    """What `run/<server>.json` holds."""

    pid: int
    create_time: float
    command: list[str]
    digest: str
    """Of the command and the environment it was started with: another one asks for a restart."""
    is_set_up: bool = False
    """Whether what has to be done once the server answers was done."""

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return the record; None where there is none or it is not whole."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write it atomically."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n", mode=0o600)

    def process(self) -> psutil.Process | None:
        """Return the recorded process; None where it ended, or its number belongs to another by now."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.create_time) < 0.01 and found.cmdline() in (self.command, NOT_YET)
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def start(command: Sequence[str], *, environment: Mapping[str, str], log: Path, folder: Path) -> psutil.Process:
    """Start `command` in a new session, output appended to `log`; it lives on when we end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        child = _spawn(command, environment, output, folder)
    return psutil.Process(child.pid)


def _spawn(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes], folder: Path
) -> subprocess.Popen[bytes]:
    return DetachedProcess(
        list(command),
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def record_of(process: psutil.Process, command: Sequence[str], digest: str) -> ProcessRecord:
    """Return the record of a process that was just started with `command`."""
    return ProcessRecord(pid=process.pid, create_time=process.create_time(), command=list(command), digest=digest)


def digest_of(command: Sequence[str], own: Mapping[str, str], config: str) -> str:
    """One number for how a server is started: its command, its own variables, its configuration, this Python."""
    text = json.dumps([list(command), dict(own), config, sys.prefix, sys.version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def marked(stack_id: str) -> list[tuple[str, psutil.Process]]:
    """Return (server, process) of every living process that carries this stack's marker, but not ourselves."""
    found = []
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            environment = process.environ() if process.pid not in ours else {}
            if environment.get(STACK_MARKER) == stack_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append((environment.get(SERVER_MARKER, ""), process))
        except (psutil.Error, OSError):
            continue
    return found


def family(process: psutil.Process) -> set[int]:
    """Return the numbers of a process and everything it started."""
    try:
        return {process.pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.Error:
        return {process.pid}


def listening(process: psutil.Process) -> set[int]:
    """Return the TCP ports that the process itself listens at; none where it cannot be looked into."""
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return set()
    return {item.laddr.port for item in connections if item.status == psutil.CONN_LISTEN}


def end(processes: Iterable[psutil.Process], *, grace_s: float) -> None:
    """Ask to end, and after `grace_s` make it so; returns when all are gone."""
    alive = list(processes)
    for process in alive:
        _signal(process, kill=False)
    _gone, stubborn = psutil.wait_procs(alive, timeout=grace_s)
    for process in stubborn:
        _signal(process, kill=True)
    psutil.wait_procs(stubborn, timeout=5)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.Error:
        return
