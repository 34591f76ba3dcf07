"""A running TorchServe with everything that a release into it needs."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from audit import AuditLog
from imaging.errors import ServiceError
from serving.client import ChestXrayClient
from serving.release.plan import DEFAULT
from serving.release.reconciling import Release, ReleaseResult
from serving.release.record import ReleaseRecord
from serving.release.smoke import smoke_test
from serving.release.traffic import Traffic
from serving.tokens import authorization
from serving.torchserve import ManagementClient
from tests.serving.factories import write_package
from tests.serving.memory import MemoryRegistry
from tests.signing import trust
from thorax import stack
from thorax.stack.places import Places
from thorax.stack.servers import Server
from thorax.stack.torchserve_server import LOG4J

PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")


@dataclass
class Stand:
    """A running TorchServe with everything a release needs."""

    home: Path
    client: ChestXrayClient
    management: ManagementClient
    registry: MemoryRegistry
    packages: dict[str, Path]
    smoke_takes_s: float = 0.0
    smoke_passed_at: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.client.url

    def reconcile(self) -> ReleaseResult:
        return Release(
            folder=self.home / "release",
            store=self.home / "model-store",
            champion=self.registry.champion,
            registry=self.registry,
            server=self.management,
            target=Traffic.of(self.home),
            record=ReleaseRecord(AuditLog(self.home / "audit")),
            smoke_test=self.smoke_test,
            settings=trust(self.home),
        ).run()

    def smoke_test(self, package: Path, **about: str) -> None:
        """The real one, made longer and its end noted."""
        time.sleep(self.smoke_takes_s)
        smoke_test(self.client, package, **about)
        self.smoke_passed_at.append(time.monotonic())

    def forget_every_release(self) -> None:
        """Back to a TorchServe that has never had a model."""
        for version in sorted(self.management.loaded(), key=lambda one: one == self.management.default()):
            self.management.unregister(version)
        shutil.rmtree(self.home / "release", ignore_errors=True)
        self.registry.aliases.clear()

    def approve(self, version: str) -> ReleaseResult:
        """Record gates and approval and move the alias, as the pipeline and the registry's server do."""
        log, digest = AuditLog(self.home / "audit"), self.registry.tag(version, "package.digest")
        log.append("gate.evaluated", actor="trainer", subject=digest, details={"gate": "all", "passed": True})
        log.append("model.approved", actor="approver", subject=f"chest-xray/{version}", details={})
        self.registry.aliases["champion"] = version
        return self.reconcile()

    def post(self, data: bytes, *, version: str = "", **headers: str) -> httpx.Response:
        """One request as curl sends it, never tried again."""
        sent = {"Content-Type": "application/octet-stream", **authorization(self.client.keys, "inference"), **headers}
        url = f"{self.url}/predictions/chest-xray" + (f"/{version}" if version else "")
        return httpx.post(url, content=data, headers=sent, timeout=60)

    def worker_pids(self) -> list[int]:
        token = authorization(self.management.keys, "management")
        described = httpx.get(f"{self.management.url}/models/chest-xray", headers=token, timeout=30).json()
        return [worker["pid"] for entry in described for worker in entry["workers"] if worker["status"] == "READY"]


def free_ports() -> dict[str, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}
    for one in sockets:
        one.close()
    return ports


def configure(home: Path, ports: dict[str, int]) -> Path:
    lines = [f"{name}_address=http://127.0.0.1:{ports[name]}" for name in PORTS[:3]]
    for name in PORTS[3:]:
        lines += [f"{name}_address=127.0.0.1", f"{name}_port={ports[name]}"]
    lines += [
        f"model_store={home / 'model-store'}",
        f"allowed_urls=file://{home / 'model-store'}/.*",
        "enable_model_api=true",
        "max_request_size=1048576",
        f"vmargs=-Djava.io.tmpdir={home / 'tmp'} -Xmx256m",
    ]
    path = home / "config.properties"
    path.write_text("\n".join(lines) + "\n")
    return path


def start_torchserve(home: Path, ports: dict[str, int]) -> subprocess.Popen:
    for folder in ("model-store", "tmp"):
        (home / folder).mkdir(parents=True)
    environment = {
        **os.environ,
        "THORAX_HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "TS_DECODE_INPUT_REQUEST": "false",
        "OMP_NUM_THREADS": "1",
        "LOG_LOCATION": str(home / "logs"),
        "METRICS_LOCATION": str(home / "logs"),
    }
    command = [sys.executable, "-c", "from ts.model_server import start; start()", "--start", "--foreground"]
    command += ["--ts-config", str(configure(home, ports)), "--model-store", str(home / "model-store")]
    command += ["--log-config", str(LOG4J)]
    with (home / "torchserve.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def prepare(home: Path, ports: dict[str, int]) -> Stand:
    keys = home / "key_file.json"
    registry, packages = MemoryRegistry(), {}
    for number in (1, 2):
        packages[str(number)] = home / f"package-{number}"
        registry.add(str(number), packages[str(number)], write_package(packages[str(number)], seed=number))
    client = ChestXrayClient(url=f"http://127.0.0.1:{ports['inference']}", keys=keys)
    management = ManagementClient(url=f"http://127.0.0.1:{ports['management']}", keys=keys, attempts=8)
    stand = Stand(home, client, management, registry, packages)
    write_plan_without_steps(home)
    until(lambda: answers(management), within_s=90)
    assert stand.reconcile().outcome == "unchanged"
    return stand


def write_plan_without_steps(home: Path) -> None:
    """Let a version take over at once: there is no edge to share requests out."""
    plan = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    (home / "rollout.yaml").write_text(yaml.safe_dump(plan | {"steps": []}), encoding="utf-8")


def answers(management: ManagementClient) -> bool:
    """Say whether TorchServe is up: its key file is written and its management API lists what is loaded."""
    try:
        management.loaded()
    except ServiceError:
        return False
    return True


def until(holds, *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"did not become true within {within_s} s"
        time.sleep(0.2)


def stop(process: subprocess.Popen) -> None:
    """End a server and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@contextlib.contextmanager
def behind_the_edge(home: Path, servers: Mapping[str, Server]) -> Iterator[Stand]:
    """Bring these servers of the stack up in `home`, TorchServe among them, and release version 1."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("THORAX_")}
    try:
        at = stack.up(home, servers=servers)
        places, registry, package = Places.of(home), MemoryRegistry(), home / "package-1"
        registry.add("1", package, write_package(package, seed=1))
        client = ChestXrayClient(url=at.inference, keys=places.key_file)
        management = ManagementClient(url=at.management, keys=places.key_file)
        made = Stand(places.home, client, management, registry, {"1": package})
        (places.home / "model-store").symlink_to(places.model_store)  # where a stand has it
        assert made.approve("1").outcome == "released"
        yield made
    finally:
        stack.down(home)
        os.environ |= before
