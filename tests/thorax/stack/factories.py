"""Small real objects of the stack."""

from pathlib import Path

from thorax.stack.credentials import load_or_create_credentials
from thorax.stack.places import DEFAULT_PORTS, Places, save_ports
from thorax.stack.servers import site_of
from thorax.stack.site import Site


def make_site(home: Path) -> Site:
    """A stack that was configured but never started."""
    places = Places.of(home)
    places.home.mkdir(parents=True, exist_ok=True)
    save_ports(places, DEFAULT_PORTS)
    credentials, _are_new = load_or_create_credentials(places)
    return site_of(places, DEFAULT_PORTS, credentials)
