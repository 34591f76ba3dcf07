"""Bring the stack up, take it down, and look at it.

`up` and `down` go by what is there, not by what was done: they may be killed anywhere and run again. One of them runs
at a time, by a lock that the kernel lets go of when its holder dies.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from imaging.errors import ServiceError
from imaging.locks import locked
from thorax.stack import processes
from thorax.stack.credentials import Credentials, load_credentials, load_or_create_credentials, make_signing_key
from thorax.stack.launch import Launch, PortTakenError, StackEvent
from thorax.stack.places import DEFAULT_PORTS, Addresses, Places, Ports, has_no_edge, load_ports, save_ports
from thorax.stack.ports import choose_ports
from thorax.stack.processes import ProcessRecord
from thorax.stack.reservations import Reservations, folder_of_this_user
from thorax.stack.servers import SERVERS, Server, ServerStatus, answers, site_of
from thorax.stack.site import Site

OnEvent = Callable[[StackEvent], None]

LOCK_WITHIN_S = 300.0
ATTEMPTS = 3


def up(home: Path, *, on_event: OnEvent | None = None, servers: Mapping[str, Server] = SERVERS) -> Addresses:
    """Start every one of `servers` that is not running, wait until each is ready, and return where they answer.

    What a kill or a reboot left is mended: records of processes that are gone, half-written files, orphaned workers.
    A server whose configuration changed is started again. Ports are kept from one `up` to the next while they are free;
    a server that loses its port to another program before it listens is tried again at another one, twice at most.

    Raises:
        ServiceError: a server does not get ready; the message ends with the end of its log.
    """
    places, tell = Places.of(home), on_event or _silent
    places.home.mkdir(parents=True, exist_ok=True, mode=0o700)  # radiographs lie in it
    with _lock(places):
        _sweep(places, tell)
        _make_room_for_the_edge(places, tell)
        credentials, are_new = load_or_create_credentials(places)
        if are_new:
            tell(StackEvent("new passwords made", state="credentials"))
        if make_signing_key(places):
            tell(StackEvent("new key to sign packages made", state="credentials"))
        ports, started = _launch(places, credentials, servers, tell)
        if started:
            _record("stack.started", places, started)
    return Addresses.of(ports)


def _launch(
    places: Places, credentials: Credentials, servers: Mapping[str, Server], tell: OnEvent
) -> tuple[Ports, list[str]]:
    """Choose ports and start what does not run, again where another program took a port; return who was started."""
    attempts_left = ATTEMPTS
    while True:
        attempts_left -= 1
        with Reservations(folder_of_this_user()) as reservations:
            ports = _settle_ports(places, servers, reservations, tell)
            launch = Launch(site=site_of(places, ports, credentials), tell=tell, servers=servers)
            try:
                return ports, launch.run()
            except PortTakenError:
                if not attempts_left:
                    raise
        tell(StackEvent("a port was taken meanwhile; trying others", state="ports"))


def down(home: Path, *, on_event: OnEvent | None = None) -> list[str]:
    """End every process of the stack, workers included; return the names of the servers that ran.

    Raises:
        ServiceError: a process could not be ended.
    """
    places, tell = Places.of(home), on_event or _silent
    if not places.home.is_dir():
        return []
    with _lock(places):
        found = processes.marked(places.stack_id)
        names = sorted({name for name, _process in found if name})
        for wave in (["controller"], [name for name in SERVERS if name != "controller"]):
            with ThreadPoolExecutor(len(SERVERS)) as pool:
                list(pool.map(lambda name: _end_server(places, name, found, tell), wave))
        processes.end((process for _name, process in processes.marked(places.stack_id)), grace_s=1)
        if left := processes.marked(places.stack_id):
            numbers = ", ".join(str(process.pid) for _name, process in left)
            raise ServiceError(f"processes {numbers} cannot be ended; they may belong to another user")
        if names:
            _record("stack.stopped", places, names)
    return names


def status(home: Path) -> list[ServerStatus]:
    """Look at each server, changing nothing."""
    places = Places.of(home)
    ports, credentials = load_ports(places), load_credentials(places)
    if ports is None or credentials is None:
        return [ServerStatus(name=name, state="stopped", detail="never started here") for name in SERVERS]
    site = site_of(places, ports, credentials)
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        return list(pool.map(lambda server: _status_of(server, site), SERVERS.values()))


def _status_of(server: Server, site: Site) -> ServerStatus:
    url = f"http://127.0.0.1:{site.ports[server.ports[0]]}" if server.ports else ""
    log = site.places.log(server.name)
    process = _process_of(site.places, server.name)
    if process is None:
        died = site.places.record(server.name).exists()
        detail = f"see {log}; `thorax up` starts it again" if died else ""
        return ServerStatus(name=server.name, state="died" if died else "stopped", url=url, detail=detail)
    memory = sum(_memory(number) for number in processes.family(process))
    is_ready = answers(server, site, process)
    return ServerStatus(
        name=server.name,
        state="running" if is_ready else "starting",
        pid=process.pid,
        url=url,
        uptime_s=round(time.time() - process.create_time(), 1),
        memory_mib=round(memory / 2**20, 1),
        detail=server.note(site) if is_ready else f"it does not answer (yet); see {log}",
    )


def _memory(number: int) -> int:
    try:
        return int(psutil.Process(number).memory_info().rss)
    except psutil.Error:
        return 0


def _sweep(places: Places, tell: OnEvent) -> None:
    """End every marked process that no living recorded server owns."""
    owned: set[int] = set()
    for name in SERVERS:
        if process := _process_of(places, name):
            owned |= processes.family(process)
    orphans = [(name, process) for name, process in processes.marked(places.stack_id) if process.pid not in owned]
    if orphans:
        names = ", ".join(sorted({name or "?" for name, _process in orphans}))
        tell(StackEvent(f"ending {len(orphans)} processes left behind by {names}", state="repair"))
        processes.end((process for _name, process in orphans), grace_s=2)


def _make_room_for_the_edge(places: Places, tell: OnEvent) -> None:
    """End a TorchServe that an older version started at the ports where callers now meet the edge."""
    if has_no_edge(places) and (process := _process_of(places, "torchserve")):
        tell(StackEvent("torchserve moves behind the edge", server="torchserve", state="repair"))
        found = [(name, one) for name, one in processes.marked(places.stack_id) if name == "torchserve"]
        _end_server(places, "torchserve", found or [("torchserve", process)], tell)


def _settle_ports(places: Places, servers: Mapping[str, Server], reservations: Reservations, tell: OnEvent) -> Ports:
    """Return the ports: those of our running servers stay, the others stay where they are free, and are reserved."""
    before = load_ports(places)
    wanted = before or DEFAULT_PORTS
    running = [server for server in servers.values() if before and _process_of(places, server.name)]
    ports = choose_ports(wanted, keep=[port for server in running for port in server.ports], take=reservations.take)
    for name, port in ports.items():
        if port != wanted[name]:
            tell(StackEvent(f"port {wanted[name]} ({name}) is taken; using {port}", state="ports"))
    save_ports(places, ports)
    return ports


def _process_of(places: Places, name: str) -> psutil.Process | None:
    """Return the recorded process of a server; None where it does not run."""
    record = ProcessRecord.load(places.record(name))
    return record.process() if record else None


def _end_server(places: Places, name: str, found: list, tell: OnEvent) -> None:
    """End what carries the marker of one server, its leader first, so that it can take its children along."""
    leader = _process_of(places, name)
    begun = time.monotonic()
    if leader:
        processes.end([leader], grace_s=SERVERS[name].grace_s)
    rest = [process for marker, process in found if marker == name and (leader is None or process.pid != leader.pid)]
    processes.end(rest, grace_s=2)
    places.record(name).unlink(missing_ok=True)
    if leader or rest:
        tell(StackEvent(f"{name} stopped", server=name, state="stopped", seconds=time.monotonic() - begun))


def _record(action: str, places: Places, names: list[str]) -> None:
    """Append to the audit record of this home."""
    from audit import AuditLog, default_folder

    actor = os.environ.get("THORAX_ACTOR") or "system"
    log = AuditLog(default_folder(places.home))
    log.append(action, actor=actor, subject="stack", details={"servers": sorted(names)})


def _silent(_event: StackEvent) -> None:
    """Tell nobody."""


@contextlib.contextmanager
def _lock(places: Places) -> Iterator[None]:
    """Let one `up` or `down` of this home work at a time.

    Raises:
        ServiceError: another one takes longer than it should.
    """
    places.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    busy = "another `thorax up` or `thorax down` has been at work for minutes"
    with locked(places.run / "lock", within_s=LOCK_WITHIN_S, busy=busy):
        yield
