"""What runs `train-classifier` in containers, and what comes of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.resources import ADDRESSES, PSEUDONYMS, REGISTRY, STORAGE
from tests.containers.player import Cluster

TRAINER = "localhost/thorax/thorax-python:local"


def step_environment(cluster: Cluster) -> dict[str, str]:
    """What Kubeflow's driver would give a step by `pipelines.resources`: its ConfigMap's keys and its secrets'."""
    addresses = cluster.config("thorax-training", "thorax-addresses")
    found = {variable: addresses[key] for key, variable in ADDRESSES.items()}
    for secret in (REGISTRY, STORAGE, PSEUDONYMS):
        given = cluster.secrets["thorax-training", secret.name]
        found |= {variable: given[key] for key, variable in secret.variables.items()}
    return found


@dataclass(frozen=True)
class Containers:
    """What runs `train-classifier` in containers of the image for steps."""

    engine: str
    plan: dict[str, Any]
    folder: Path

    def run(self, **changes: Any) -> "subprocess.CompletedProcess[str]":
        """Run it to its end with changed arguments; all that the steps print is in stdout."""
        root = self.folder / f"run-{len(list(self.folder.iterdir()))}"
        root.mkdir()
        root.chmod(0o777)
        plan = {**self.plan, "root": str(root), "arguments": {**self.plan["arguments"], **changes}}
        (root / "plan.json").write_text(json.dumps(plan))
        own = {**os.environ, "DOCKER_HOST": self.engine, "THORAX_IMAGE": TRAINER}
        command = [sys.executable, "-m", "tests.containers.docker_pipeline", str(root / "plan.json")]
        return subprocess.run(command, env=own, capture_output=True, text=True, timeout=900, check=False)


@dataclass(frozen=True)
class Trained:
    """A version that the pipeline registered."""

    version: str
    digest: str
    told: str
    """What the steps printed."""
