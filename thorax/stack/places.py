"""Where the stack keeps its things, and the addresses it answers at (`stack.json`)."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from imaging.atomic import write_text

LOOPBACK = "127.0.0.1"

DEFAULT_PORTS = {
    "mlflow": 5000,
    "s3": 9000,
    "inference": 8080,
    "management": 8081,
    "metrics": 8082,
    "grpc_inference": 7070,
    "grpc_management": 7071,
    "grpc_upstream": 7072,
}
"""`inference` and `grpc_inference` are the edge's, and the others but the first two TorchServe's: it opens both gRPC
ports whether or not one wants them. `grpc_upstream` is where the edge finds it, and for nobody else."""
BEHIND_THE_EDGE = "behind_the_edge"

Ports = dict[str, int]


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one home folder."""

    home: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """`home` made absolute, so that two ways of naming it are one stack."""
        return cls(home.expanduser().resolve())

    @property
    def stack_id(self) -> str:
        """What marks every process of this stack in its environment; made from the path, so it cannot be lost."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:16]

    @property
    def addresses(self) -> Path:
        """`stack.json`."""
        return self.home / "stack.json"

    @property
    def credentials(self) -> Path:
        """`credentials.json`, 0600."""
        return self.home / "credentials.json"

    @property
    def credentials_shown(self) -> Path:
        """Which `credentials.json` a person has been shown: its digest."""
        return self.home / "credentials.shown"

    @property
    def run(self) -> Path:
        """Process records and the lock."""
        return self.home / "run"

    def record(self, server: str) -> Path:
        """Where the record of a server's process lies."""
        return self.run / f"{server}.json"

    def log(self, server: str) -> Path:
        """What a server has written."""
        return self.logs / f"{server}.log"

    @property
    def logs(self) -> Path:
        """One `.log` file a server."""
        return self.home / "logs"

    @property
    def edge(self) -> Path:
        """Nginx's configuration, log of requests and bodies on their way."""
        return self.home / "edge"

    @property
    def clients(self) -> Path:
        """The integrations' tokens: an empty file each, of that name."""
        return self.edge / "clients"

    @property
    def torchserve(self) -> Path:
        """TorchServe's configuration, model store and key file."""
        return self.home / "torchserve"

    @property
    def key_file(self) -> Path:
        """TorchServe's tokens, as it writes them at each start."""
        return self.torchserve / "key_file.json"

    @property
    def model_store(self) -> Path:
        """The only folder that TorchServe loads archives from."""
        return self.torchserve / "model-store"


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where each server answers; `inference` is the edge."""

    mlflow: str
    s3: str
    inference: str
    management: str
    metrics: str

    @property
    def model_page(self) -> str:
        """The registry's page of the model; the UI opens in a mode that hides it."""
        return f"{self.mlflow}/#/models/chest-xray"

    @classmethod
    def of(cls, ports: Ports) -> Self:
        """The addresses at `ports`."""
        names = ("mlflow", "s3", "inference", "management", "metrics")
        return cls(**{name: f"http://{LOOPBACK}:{ports[name]}" for name in names})


def save_ports(places: Places, ports: Ports) -> None:
    """Write `stack.json`."""
    at = Addresses.of(ports)
    torchserve = {"inference": at.inference, "management": at.management, "metrics": at.metrics}
    grpc = {name: f"{LOOPBACK}:{ports[name]}" for name in ("grpc_inference", "grpc_management")}
    behind = {"grpc_upstream": f"{LOOPBACK}:{ports['grpc_upstream']}"}
    stack = {"mlflow": {"url": at.mlflow}, "s3": {"url": at.s3}, "torchserve": torchserve | grpc}
    stack[BEHIND_THE_EDGE] = behind
    write_text(places.addresses, json.dumps(stack, indent=2) + "\n")


def load_ports(places: Places) -> Ports | None:
    """Return the ports of the last `up`; None where there was none or its file is not whole."""
    try:
        stack = json.loads(places.addresses.read_text(encoding="utf-8"))
        behind = stack.get(BEHIND_THE_EDGE, {"grpc_upstream": DEFAULT_PORTS["grpc_upstream"]})
        urls = {"mlflow": stack["mlflow"]["url"], "s3": stack["s3"]["url"], **stack["torchserve"], **behind}
        return {name: _port(urls[name]) for name in DEFAULT_PORTS}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def has_no_edge(places: Places) -> bool:
    """Whether the last `up` was of a version whose TorchServe answered callers itself, at the edge's ports."""
    try:
        return BEHIND_THE_EDGE not in json.loads(places.addresses.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _port(url: Any) -> int:
    return int(str(url).rpartition(":")[2])
