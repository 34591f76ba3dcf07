"""Starts the servers of the benchmark, all on loopback, and ends them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import httpx

from imaging.settings import Settings
from serving.archive import MODEL_NAME, WorkerConfig, build_archive
from serving.load import Target
from serving.release_gate import ReleaseGate
from serving.tokens import authorization
from serving.torchserve import ManagementClient
from thorax import stack
from thorax.stack.places import Places
from thorax.stack.servers import SERVERS

HERE = Path(__file__).parent
PATH = f"/predictions/{MODEL_NAME}"
OURS = {name: SERVERS[name] for name in ("torchserve", "edge")}
TYPE = {"Content-Type": "application/octet-stream"}
WITHIN_S = 120


@contextlib.contextmanager
def torchserve(home: Path, archive_of: "ArchiveOf", *, runtime: str = "auto") -> Iterator[Target]:
    """Run TorchServe behind our edge with one archive, which need not be ours."""
    with mock.patch.dict(os.environ, {"THORAX_RUNTIME": runtime}):
        at = stack.up(home, servers=OURS)
    try:
        places = Places.of(home)
        archive = archive_of(places.model_store)
        management = ManagementClient(url=at.management, keys=places.key_file)
        management.register(archive.name)
        management.wait_until_ready("1")
        yield Target(url=f"{at.inference}{PATH}", headers={**TYPE, **authorization(places.key_file, "inference")})
    finally:
        stack.down(home)


class ArchiveOf:
    """Builds an archive of a package into a model store: ours."""

    def __init__(self, home: Path, package: Path, digest: str, config: WorkerConfig) -> None:
        self.home, self.package, self.digest, self.config = home, package, digest, config

    def __call__(self, store: Path) -> Path:
        """Return the archive, its version admitted."""
        ReleaseGate.of(Places.of(self.home).home / "release").admit("1", self.digest)
        return build_archive(self.package, version="1", digest=self.digest, store=store, config=self.config)


class UsualArchiveOf(ArchiveOf):
    """Builds an archive of the usual handler."""

    def __call__(self, store: Path) -> Path:
        """Return the archive."""
        path = store / "usual.mar"
        names = {"modelName": MODEL_NAME, "modelVersion": "1", "handler": "usual_handler.py"}
        model = {**names, "configFile": "model-config.yaml"}
        manifest = {"createdOn": "", "runtime": "python", "archiverVersion": "0.12.0", "model": model}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
            archive.write(HERE / "usual_handler.py", "usual_handler.py")
            archive.writestr("model-config.yaml", self.config.to_yaml())
            for file in self.package.iterdir():
                archive.write(file, f"package/{file.name}")
        return path


@contextlib.contextmanager
def litserve(home: Path, package: Path, settings: Settings) -> Iterator[Target]:
    """Run our LitServe app."""
    keys = home / "litserve_keys.json"
    home.mkdir(parents=True, exist_ok=True)
    keys.write_text(json.dumps({"inference": {"key": "benchmark"}}))
    variables = {
        "THORAX_HOME": str(home),
        "THORAX_SERVING_KEYS": str(keys),
        "THORAX_SIGNATURE_KEY": str(settings.home / "keys" / "signing.pub"),
    }
    command = ["-m", "serving.litserve_app", str(package), "--port"]
    with _process(command, variables, "/health") as url:
        yield Target(url=f"{url}{PATH}", headers={**TYPE, **authorization(keys, "inference")})


@contextlib.contextmanager
def fastapi(package: Path) -> Iterator[Target]:
    """Run the FastAPI peer."""
    command = ["-m", "uvicorn", "peers.fastapi_app:app", "--log-level", "warning", "--port"]
    with _process(command, {"PACKAGE": str(package)}, "/docs") as url:
        yield Target(url=f"{url}{PATH}", headers=TYPE)


@contextlib.contextmanager
def flask(package: Path) -> Iterator[Target]:
    """Run the Flask peer."""
    with _process(["-m", "peers.flask_app", "--port"], {"PACKAGE": str(package)}, "/") as url:
        yield Target(url=f"{url}{PATH}", headers=TYPE)


@contextlib.contextmanager
def _process(command: list[str], variables: dict[str, str], health: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = HERE.parents[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("THORAX_")}
    paths = os.pathsep.join(str(one) for one in (root, HERE.parent))
    process = subprocess.Popen(
        [sys.executable, *command, str(port)],
        env={**inherited, "PYTHONPATH": paths, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, f"{url}{health}")
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code != 503:
                return
        time.sleep(0.3)
    raise RuntimeError(f"{process.args!r} did not come up")
