"""Start the servers that are not running, side by side, and wait until each answers."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import psutil

from imaging.errors import ServiceError
from thorax.stack import processes
from thorax.stack.ports import is_free
from thorax.stack.processes import ProcessRecord
from thorax.stack.servers import Server, answers, own_variables, whole_environment
from thorax.stack.site import Site

POLL_S = 0.1
HUNG_AFTER_S = 15.0
"""A server that was set up before and does not answer for so long is started again."""
LOG_LINES = 15
TAKEN = "address already in use"
"""What rclone, MLflow's uvicorn and TorchServe's Java print, in these words, before they end for want of a port."""


class PortTakenError(ServiceError):
    """Another program took a port between our choosing it and our server's listening there."""


class StackEvent(str):
    """A line for a person, with its parts for a program."""

    __slots__ = ("seconds", "server", "state")

    server: str
    state: str
    seconds: float

    def __new__(cls, text: str, *, server: str = "", state: str = "", seconds: float = 0.0) -> Self:
        """Make the line; `state` is starting, ready, running, failed, stopped, ports, repair or credentials."""
        made = super().__new__(cls, text)
        made.server, made.state, made.seconds = server, state, seconds
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """One pass over a table of servers."""

    site: Site
    tell: Callable[[StackEvent], None]
    servers: Mapping[str, Server]
    _log_begins: dict[str, int] = field(default_factory=dict)
    """Where in a server's log this start's words begin: what an earlier start died of explains nothing."""

    def run(self) -> list[str]:
        """Bring every server to ready; return the names of those that had to be started.

        Raises:
            PortTakenError: one ended because another program holds its port; it may be tried again.
            ServiceError: one does not get there. The others are left running.
        """
        done: dict[str, Future[bool]] = {}
        with ThreadPoolExecutor(len(self.servers)) as pool:
            for server in self.servers.values():
                before = [done[name] for name in server.after]
                done[server.name] = pool.submit(self._bring_up, server, before)
        failures = [error for future in done.values() if (error := future.exception())]
        if failures:
            raise failures[0]
        return [name for name, future in done.items() if future.result()]

    def _bring_up(self, server: Server, before: list[Future[bool]]) -> bool:
        for earlier in before:
            earlier.result()
        begun = time.monotonic()
        try:
            record, is_new = self._running_or_started(server)
            if not is_new and not self._answers(server, record):
                self._stop(server, record)
                record, is_new = self._start(server), True
            self._wait(server, record)
            if not record.is_set_up:
                server.set_up(self.site)
                replace(record, is_set_up=True).save(self.site.places.record(server.name))
        except ServiceError as error:
            self.tell(StackEvent(f"{server.name} failed", server=server.name, state="failed"))
            kind = PortTakenError if isinstance(error, PortTakenError) else ServiceError
            raise kind(f"{server.name}: {error}") from error
        seconds = time.monotonic() - begun
        state = "ready" if is_new else "running"
        self.tell(
            StackEvent(f"{server.name} {state} ({seconds:.1f} s)", server=server.name, state=state, seconds=seconds)
        )
        return is_new

    def _running_or_started(self, server: Server) -> tuple[ProcessRecord, bool]:
        record = ProcessRecord.load(self.site.places.record(server.name))
        if record and record.process():
            if record.digest == self._digest(server):
                return record, False
            self.tell(StackEvent(f"{server.name} has a new configuration", server=server.name, state="repair"))
            self._stop(server, record)
        return self._start(server), True

    def _answers(self, server: Server, record: ProcessRecord) -> bool:
        """Whether a server that was found running answers; one that was never set up may still be starting."""
        deadline = time.monotonic() + (HUNG_AFTER_S if record.is_set_up else server.ready_within_s)
        while (process := record.process()) and time.monotonic() < deadline:
            if answers(server, self.site, process):
                return True
            time.sleep(POLL_S)
        return False

    def _start(self, server: Server) -> ProcessRecord:
        self.tell(StackEvent(f"{server.name} starting", server=server.name, state="starting"))
        server.prepare(self.site)
        command = server.command(self.site)
        log = self.site.places.log(server.name)
        self._log_begins[server.name] = log.stat().st_size if log.exists() else 0
        process = processes.start(
            command,
            environment=whole_environment(server, self.site),
            log=log,
            folder=self._folder(server),
        )
        try:
            record = processes.record_of(process, command, self._digest(server))
        except psutil.Error as error:
            raise self._ended(server) from error
        record.save(self.site.places.record(server.name))
        return record

    def _wait(self, server: Server, record: ProcessRecord) -> None:
        deadline = time.monotonic() + server.ready_within_s
        while time.monotonic() < deadline:
            process = record.process()
            if process is None:
                raise self._ended(server)
            if answers(server, self.site, process):
                return
            time.sleep(POLL_S)
        raise ServiceError(f"not ready within {server.ready_within_s:.0f} s{_end_of(self._said(server))}")

    def _ended(self, server: Server) -> ServiceError:
        """Return the error of a server that ended before it answered."""
        said = self._said(server)
        taken = [self.site.ports[name] for name in server.ports if not is_free(self.site.ports[name])]
        if taken or TAKEN in said.lower():
            which = " and ".join(str(port) for port in taken) or "one of its ports"
            return PortTakenError(f"it ended while starting; another program took {which}{_end_of(said)}")
        return ServiceError(f"it ended while starting{_end_of(said)}")

    def _stop(self, server: Server, record: ProcessRecord) -> None:
        if process := record.process():
            children = [psutil.Process(number) for number in processes.family(process) if psutil.pid_exists(number)]
            processes.end([process], grace_s=server.grace_s)
            processes.end(children, grace_s=1)

    def _digest(self, server: Server) -> str:
        return processes.digest_of(
            server.command(self.site), own_variables(server, self.site), server.config(self.site)
        )

    def _folder(self, server: Server) -> Path:
        """TorchServe writes its tokens into the folder it runs in."""
        places = self.site.places
        return places.torchserve if server.name == "torchserve" else places.run

    def _said(self, server: Server) -> str:
        """Return what the server wrote into its log since we started it; all of it where we did not."""
        try:
            log = self.site.places.log(server.name).read_bytes()
        except OSError:
            return ""
        begin = self._log_begins.get(server.name, 0)
        return log[begin if begin <= len(log) else 0 :].decode(errors="replace")  # shorter: set aside meanwhile


def _end_of(said: str) -> str:
    lines = said.splitlines()[-LOG_LINES:]
    return "; the end of its log:\n" + "\n".join(lines) if lines else "; it wrote nothing into its log"
