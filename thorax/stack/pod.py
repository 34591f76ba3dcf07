"""`python -m thorax.stack.pod PART`: one server of the stack as the process of a container.

The same servers, configuration and checks as on one machine; the home is a volume that the pod's containers share, and
addresses and secrets come from the environment. `fetch` brings and verifies the released package before TorchServe
starts, `smoke` asks the pod about its reference image, `log` carries the prediction log to its bucket. Ends with the
server, and soon after SIGTERM.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from imaging.errors import ServiceError, ThoraxError
from imaging.settings import Settings
from thorax.stack.credentials import ROLES, Credentials
from thorax.stack.places import DEFAULT_PORTS, Places, load_ports
from thorax.stack.servers import SERVERS, Server, site_of, whole_environment
from thorax.stack.site import Site

PARTS = ("torchserve", "edge", "mlflow")
POLL_S = 0.5
COLLECT_EVERY_S = 30.0
GIVEN = ("THORAX_REGISTRY_", "THORAX_APPROV", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_SERVER_ALLOWED_HOSTS", "AWS_")
"""What the pod's own environment says goes before what one machine would say."""

logger = logging.getLogger("thorax.pod")


def site_from(environment: Mapping[str, str]) -> Site:
    """Return the site of this pod: its home, the usual ports, and those secrets that it was given."""
    places = Places.of(Path(environment.get("THORAX_HOME", ".thorax")))
    credentials = Credentials(
        mlflow={role: environment.get(f"THORAX_PASSWORD_{role.upper()}", "") for role in ROLES},
        s3_access_key=environment.get("THORAX_S3_ACCESS_KEY", ""),
        s3_secret_key=environment.get("THORAX_S3_SECRET_KEY", ""),
        flask_key=environment.get("THORAX_FLASK_KEY", ""),
    )
    site = site_of(places, load_ports(places) or dict(DEFAULT_PORTS), credentials)
    seen_at = environment.get("THORAX_METRICS_LISTEN")
    if not seen_at:
        return site
    metrics = f"http://{seen_at}:{site.ports['metrics']}"  # figures alone: for Prometheus, which asks from outside
    return replace(site, addresses=replace(site.addresses, metrics=metrics))


def environment_of(server: Server, site: Site) -> dict[str, str]:
    """Return what the server's process is given."""
    given = {name: value for name, value in os.environ.items() if name.startswith(GIVEN)}
    return {**whole_environment(server, site), **given}


def lay_clients(places: Places, given: Path) -> None:
    """Let the edge find the integrations' tokens where the cluster mounted them: a file each, named by it."""
    places.edge.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not places.clients.is_symlink():
        places.clients.symlink_to(given, target_is_directory=True)


class Runner:
    """One server, started, set up, started again when its configuration changes, and ended by SIGTERM."""

    def __init__(self, server: Server, site: Site, stop: threading.Event) -> None:
        """`stop` asks it to end."""
        self._server, self._site, self._stop = server, site, stop

    def run(self) -> int:
        """Run until told to stop (0) or until the server ends by itself (1).

        Raises:
            ServiceError: it does not become ready, or answers who must be refused.
        """
        self._wait_for_what_it_needs()
        if self._server.name == "edge" and (given := os.environ.get("THORAX_CLIENTS")):
            lay_clients(self._site.places, Path(given))
        while not self._stop.is_set():
            self._server.prepare(self._site)
            config = self._server.config(self._site)
            process = self._started()
            try:
                self._wait(process)
                self._server.set_up(self._site)
                logger.info("%s is ready", self._server.name)
                if not self._watch(process, config):
                    return 1
            finally:
                self._end(process)
        return 0

    def _wait_for_what_it_needs(self) -> None:
        """The edge asks TorchServe with the token that it writes at its start."""
        while "torchserve" in self._server.after and not self._stop.is_set():
            if SERVERS["torchserve"].is_ready(self._site):
                return
            self._stop.wait(POLL_S)

    def _started(self) -> "subprocess.Popen[bytes]":
        folder = self._site.places.torchserve if self._server.name == "torchserve" else self._site.places.run
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment = environment_of(self._server, self._site)
        return subprocess.Popen(self._server.command(self._site), env=environment, cwd=folder)

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + self._server.ready_within_s
        while time.monotonic() < deadline and not self._stop.is_set():
            if process.poll() is not None:
                raise ServiceError(f"{self._server.name} ended while starting, with status {process.returncode}")
            if self._server.is_ready(self._site):
                return
            self._stop.wait(POLL_S)
        if not self._stop.is_set():
            raise ServiceError(f"{self._server.name} was not ready within {self._server.ready_within_s:.0f} s")

    def _watch(self, process: "subprocess.Popen[bytes]", config: str) -> bool:
        """Return True where it is to be started again or to stop, False where it ended by itself."""
        while not self._stop.wait(POLL_S):
            if process.poll() is not None:
                logger.error("%s ended by itself, with status %s", self._server.name, process.returncode)
                return False
            if self._server.name == "edge" and self._server.config(self._site) != config:
                logger.info("TorchServe has new tokens: the edge starts again")
                return True
        return True

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """End it gently: nginx takes no new request then, and answers those in hand."""
        gently = signal.SIGQUIT if self._server.name == "edge" else signal.SIGTERM
        if process.poll() is None:
            process.send_signal(gently)
            try:
                process.wait(self._server.grace_s if self._server.name != "edge" else 60.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def keep_the_log(site: Site, stop: threading.Event) -> int:
    """Carry the prediction log to its bucket every half minute, and once more at the end."""
    from audit import AuditLog, default_folder
    from monitoring.change_control import installed_plan
    from monitoring.watch import Watcher

    settings = Settings(home=site.places.home)
    log = AuditLog(default_folder(settings.home))
    watcher = Watcher(settings=settings, plan=installed_plan(), log=log, actor=settings.actor or "serving")
    ends = False
    while not ends:
        ends = stop.wait(COLLECT_EVERY_S)
        try:
            watcher.collect()
            watcher.upload()
        except ThoraxError as error:  # nothing is lost: the next look sends what this one did not
            logger.warning("the prediction log waits: [%s] %s", error.code, error)
    return 0


def main() -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(prog="python -m thorax.stack.pod", description=__doc__)
    parser.add_argument("part", choices=("fetch", "smoke", "log", *PARTS))
    part = parser.parse_args().part
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    site = site_from(os.environ)
    try:
        if part in ("fetch", "smoke"):
            from thorax.stack import pod_model

            return pod_model.fetch(site, stop) if part == "fetch" else pod_model.smoke(site)
        return keep_the_log(site, stop) if part == "log" else Runner(SERVERS[part], site, stop).run()
    except ThoraxError as error:
        logger.error("[%s] %s", error.code, error)  # noqa: TRY400  it says what would do; its trace does not
        return 1


if __name__ == "__main__":
    sys.exit(main())
