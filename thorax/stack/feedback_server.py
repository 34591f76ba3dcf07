"""The feedback server: `python -m serving.feedback`, at a socket that only the edge asks."""

from pathlib import Path

from thorax.stack.places import Places
from thorax.stack.site import TELEMETRY_OFF, Site, ask
from thorax.stack.torchserve_server import LONGEST_SOCKET


def socket_of(places: Places) -> Path:
    """Return its socket, in a folder of this user's alone."""
    own = places.home / "feedback" / "socket"
    folder = own if len(str(own)) <= LONGEST_SOCKET else Path("/tmp") / f"thorax-{places.stack_id}-feedback"  # noqa: S108
    return folder / "feedback.sock"


def command(site: Site) -> list[str]:
    """One process."""
    return [site.python, "-P", "-m", "serving.feedback", str(socket_of(site.places))]


def variables(site: Site) -> dict[str, str]:
    """It has no secret: it asks no other server."""
    return {**TELEMETRY_OFF, "THORAX_HOME": str(site.places.home)}


def prepare(site: Site) -> None:
    """Make the socket's folder, for this user alone."""
    folder = socket_of(site.places).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def is_ready(site: Site) -> bool:
    """Whether it says so."""
    answer = ask("GET", "http://feedback/ready", socket=socket_of(site.places))
    return answer is not None and answer.is_success
