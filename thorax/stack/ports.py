"""Free ports on loopback."""

import socket
from collections.abc import Callable, Iterable

from imaging.errors import ServiceError
from thorax.stack.places import LOOPBACK, Ports

TRIES = 1000


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(wanted: Ports, *, keep: Iterable[str] = (), take: Callable[[int], bool] = is_free) -> Ports:
    """Return a port for each name: the wanted one, or the next free one above it.

    Args:
        wanted: Port by name.
        keep: Names whose port our own running server holds.
        take: Says whether a port may be had, and may reserve it; asked of each until it says yes.

    Raises:
        ServiceError: there is no free port.
    """
    chosen = {name: wanted[name] for name in keep}
    for name, port in wanted.items():
        if name not in chosen:
            chosen[name] = _next_free(port, taken=set(chosen.values()), take=take)
    return {name: chosen[name] for name in wanted}


def _next_free(port: int, *, taken: set[int], take: Callable[[int], bool]) -> int:
    for candidate in range(port, min(port + TRIES, 65536)):
        if candidate not in taken and take(candidate):
            return candidate
    raise ServiceError(f"no free port from {port} on; stop something that listens there")
