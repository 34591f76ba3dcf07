"""The edge: nginx in front of TorchServe's inference API, so that every request is seen, bounded and written down.

It runs as one process in the foreground. nginx's worker processes would write their titles over the environment by
which a process of ours is known, and outlive a master that is killed.
"""

import os
import secrets
import shutil

from imaging.atomic import write_text
from imaging.errors import ServiceError
from serving.openapi import openapi_json
from serving.release.traffic import Route, Traffic
from serving.tokens import shadow_token, shadow_token_file
from thorax.stack.edge_config import copies_socket, render
from thorax.stack.site import Site, ask
from thorax.stack.torchserve_server import bearer

PACKAGE = "nginx-light"


def nginx() -> str:
    """Return the nginx program; the folders of system programs are not on everybody's path.

    Raises:
        ServiceError: there is none.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise ServiceError(f"the edge needs nginx, and there is none; try `apt-get install {PACKAGE}`")
    return found


def command(site: Site) -> list[str]:
    """In the foreground, with this home's configuration and no other."""
    folder = site.places.edge
    return [nginx(), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def variables(_site: Site) -> dict[str, str]:
    """The log's files begin at midnight UTC."""
    return {"TZ": "UTC"}


def prepare(site: Site) -> None:
    """Write the configuration; remove the bodies and the socket that a kill left. Traffic goes on as it was sent."""
    folder, traffic = site.places.edge, Traffic.of(site.places.home)
    shutil.rmtree(folder / "bodies", ignore_errors=True)
    for place in (folder, folder / "logs", folder / "bodies", folder / "nothing", site.places.clients):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    copies = copies_socket(site.places).parent
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir(mode=0o700)
    if not traffic.is_set():
        traffic.send(Route())
    if not shadow_token(site.places.home):
        write_text(shadow_token_file(site.places.home), secrets.token_urlsafe(32) + "\n", mode=0o600)
    write_text(folder / "openapi.json", openapi_json())
    write_text(folder / "nginx.conf", render(site), mode=0o600)


def is_ready(site: Site) -> bool:
    """Whether it says by itself that there is no such path."""
    answer = ask("GET", f"{site.addresses.inference}/edge")
    return answer is not None and answer.status_code == 404 and '"request_id": "edge-' in answer.text


def set_up(site: Site) -> None:
    """See that a caller without a token is refused, and that TorchServe is reached with its own.

    Raises:
        ServiceError: one of them is not so.
    """
    url = f"{site.addresses.inference}/ping"
    stranger, own = ask("GET", url), ask("GET", url, headers=bearer(site.places, "inference"))
    if stranger is None or stranger.status_code != 401:
        raise ServiceError("the edge does not refuse a call without a token; it must not run so")
    if own is None or not own.is_success:
        raise ServiceError("TorchServe does not answer behind the edge; see `thorax logs edge`")
