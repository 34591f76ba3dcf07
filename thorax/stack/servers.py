"""The servers of the stack, in one table: what each is started with, and how one sees that it answers."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from thorax.stack import (
    edge_config,
    edge_server,
    feedback_server,
    mlflow_server,
    processes,
    release_controller,
    s3_server,
    torchserve_server,
)
from thorax.stack.credentials import Credentials
from thorax.stack.places import Addresses, Places, Ports
from thorax.stack.processes import SERVER_MARKER, STACK_MARKER
from thorax.stack.site import Site

State = Literal["running", "starting", "died", "stopped"]

NOT_INHERITED = ("THORAX_", "MLFLOW_", "_MLFLOW_", "AWS_", "TS_", "RCLONE_", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
"""What the caller's shell has set for itself; a server gets only what it needs, and compiles its modules once."""

PLACES = ("THORAX_AUDIT", "THORAX_AUDIT_WITNESS")
"""Where the audit record is: the servers and the commands write one."""
LOGINS = ("THORAX_AUDIT_DATABASE", *(f"THORAX_AUDIT_S3_{name}" for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY")))
"""How it is reached where it is no folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerStatus:
    """One server as seen from outside."""

    name: str
    state: State
    """`died`: it was started and is not there; `starting`: there, but it does not answer."""
    pid: int | None = None
    url: str = ""
    uptime_s: float | None = None
    memory_mib: float | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """How to run one server. Every function takes the site: places, ports and secrets."""

    name: str
    command: Callable[[Site], list[str]]
    variables: Callable[[Site], dict[str, str]]
    """Its own environment variables; secrets go here, never on the command line, where `ps` shows them."""
    prepare: Callable[[Site], None]
    """Write its folders and configuration; called only when it is about to start."""
    is_ready: Callable[[Site], bool]
    """One quick look; must not raise for a server that is not there yet."""
    set_up: Callable[[Site], None]
    """What is done once it answers the first time after a start; done again if it was cut short."""
    config: Callable[[Site], str]
    """What of its configuration file asks for a restart when it changes."""
    note: Callable[[Site], str] = lambda _site: ""
    """What a person should know of it while it runs; asks for no restart."""
    ports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Servers that have to be ready before this one is started."""
    ready_within_s: float = 120.0
    grace_s: float = 8.0
    """How long it may take to end by itself."""


def nothing(_site: Site) -> None:
    """Do nothing: a server that needs no preparation or set-up."""


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Server(
            name="s3",
            command=s3_server.command,
            variables=s3_server.variables,
            prepare=s3_server.prepare,
            is_ready=s3_server.is_ready,
            set_up=nothing,
            config=lambda _site: "",
            ports=("s3",),
        ),
        Server(
            name="mlflow",
            command=mlflow_server.command,
            variables=mlflow_server.variables,
            prepare=mlflow_server.prepare,
            is_ready=mlflow_server.is_ready,
            set_up=mlflow_server.set_up,
            config=mlflow_server.config,
            ports=("mlflow",),
        ),
        Server(
            name="torchserve",
            command=torchserve_server.command,
            variables=torchserve_server.variables,
            prepare=torchserve_server.prepare,
            is_ready=torchserve_server.is_ready,
            set_up=torchserve_server.set_up,
            config=torchserve_server.config,
            note=torchserve_server.note,
            ports=("management", "metrics", "grpc_upstream", "grpc_management"),
        ),
        Server(
            name="feedback",
            command=feedback_server.command,
            variables=feedback_server.variables,
            prepare=feedback_server.prepare,
            is_ready=feedback_server.is_ready,
            set_up=nothing,
            config=lambda _site: "",
        ),
        Server(
            name="edge",
            command=edge_server.command,
            variables=edge_server.variables,
            prepare=edge_server.prepare,
            is_ready=edge_server.is_ready,
            set_up=edge_server.set_up,
            config=edge_config.render,
            ports=("inference", "grpc_inference"),
            after=("torchserve",),
        ),
        Server(
            name="controller",
            command=release_controller.command,
            variables=release_controller.variables,
            prepare=nothing,
            is_ready=release_controller.is_ready,
            set_up=nothing,
            config=lambda _site: "",
            after=("s3", "mlflow", "torchserve", "edge"),
        ),
    )
}


def answers(server: Server, site: Site, process: psutil.Process) -> bool:
    """Whether `process` itself listens at every port of the server, and the server is ready.

    What listens there may be another stack's: it looks as ready as ours, and must not be sent our secrets.
    """
    wanted = {site.ports[name] for name in server.ports}
    return wanted <= processes.listening(process) and server.is_ready(site)


def own_variables(server: Server, site: Site) -> dict[str, str]:
    """Return the server's own variables and where the audit record is; it is started again when one differs."""
    record = {name: os.environ[name] for name in (*PLACES, *LOGINS) if os.environ.get(name)}
    folders = {name: record[name] for name in PLACES if name in record and "://" not in record[name]}
    record |= {name: str(Path(folder).absolute()) for name, folder in folders.items()}
    return {**record, **server.variables(site)}


def whole_environment(server: Server, site: Site) -> dict[str, str]:
    """Return what the server's process is given: the caller's variables without ours, its own, and the marker."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    markers = {STACK_MARKER: site.places.stack_id, SERVER_MARKER: server.name}
    root = str(Path(__file__).resolve().parents[2])
    return {**inherited, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1", **own_variables(server, site), **markers}


def site_of(places: Places, ports: Ports, credentials: Credentials) -> Site:
    """Put together what every server is configured from."""
    return Site(
        places=places, ports=ports, credentials=credentials, addresses=Addresses.of(ports), python=sys.executable
    )
