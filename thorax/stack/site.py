"""What every server of one stack is configured from, and the one way they are asked over HTTP."""

import socket as socket_module
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from thorax.stack.credentials import Credentials
from thorax.stack.places import Addresses, Places, Ports

LOOK_TIMEOUT_S = 2.0

TELEMETRY_OFF = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Places, ports, secrets and addresses of one stack."""

    places: Places
    ports: Ports
    credentials: Credentials
    addresses: Addresses
    python: str
    """The interpreter that runs the Python servers."""


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    json: Any = None,
    timeout_s: float = LOOK_TIMEOUT_S,
    socket: Path | None = None,
) -> httpx.Response | None:
    """Return the answer, at `socket` where one is named; None where nothing answers in time. No proxy is asked."""
    if socket and not _listens(socket, timeout_s):
        return None
    transport = httpx.HTTPTransport(uds=str(socket)) if socket else None
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False, transport=transport) as client:
            return client.request(method, url, headers=headers, auth=auth, json=json)
    except httpx.HTTPError:
        return None


def _listens(path: Path, timeout_s: float) -> bool:
    """Whether anybody listens at a socket; httpx leaves its own end open where nobody does."""
    with socket_module.socket(socket_module.AF_UNIX, socket_module.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
