"""Ten kills at random points, of the pipeline, of TorchServe's worker and of `thorax up`: nothing is lost."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from audit import AuditLog
from audit.predictions import read_spool
from imaging.data.dataset import load_dataset
from imaging.errors import ServiceError
from imaging.models.directory import verify_package
from imaging.registry import Registry
from pipelines.runner import run_local
from serving.client import ChestXrayClient
from serving.release.state import load_state
from tests.pipelines.easy_images import LEARNING, write_easy_images
from thorax import stack
from thorax.stack.environment import environment, settings_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1500),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

VICTIMS = ("pipeline", "worker", "up", "pipeline", "worker", "up", "pipeline", "worker", "up", "pipeline")
SEED = 20261121
THORAX = [sys.executable, "-c", "from thorax.cli import main; main()"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home that serves a first model; this process acts as the trainer."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("THORAX_")]:
        del os.environ[name]
    root = tmp_path_factory.mktemp("kills")
    write_easy_images(root / "images")
    home = root / "home"
    try:
        stack.up(home)
        os.environ.update(environment(home, "trainer"))
        given = {"source": str(root / "images"), "labels": "labels.csv", "recipe": "mobilenetv2_smoke", "size": 64}
        first = run_local("train-classifier", {**given, "overrides": LEARNING}, home=home)
        assert first.error == ""
        Registry.from_settings(settings_for(home, "approver")).set_alias(first.version, "champion")
        wait_for(lambda: load_state(home / "release").serving is not None, "the first release")
        yield root
    finally:
        stack.down(home)
        os.environ.clear()
        os.environ.update(before)


def wait_for(holds, what: str, within_s: float = 120.0) -> None:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.5)
    pytest.fail(f"{what} did not happen within {within_s:.0f} s")


def pipeline_command(place: Path, seed: int) -> list[str]:
    """A run with its own split, so that nothing but ingest can be reused."""
    changes = [word for name, value in LEARNING.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    given = ["--recipe", "mobilenetv2_smoke", "--data", str(place / "images"), "--labels", "labels.csv"]
    return [*THORAX, "pipelines", "run", "train-classifier", *given, "--seed", str(seed), "--json", *changes]


def start_and_kill(command: list[str], after_s: float) -> None:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


def kill_worker(home: Path) -> None:
    """Kill the Python process behind TorchServe, as the kernel does when memory runs out."""
    server = next(one for one in stack.status(home) if one.name == "torchserve")
    workers = [
        child
        for child in psutil.Process(server.pid).children(recursive=True)
        if "model_service_worker" in " ".join(child.cmdline())
    ]
    assert workers
    workers[0].kill()


def answer(place: Path, number: int) -> str:
    """Ask once; return the request's id if it was answered, else ""."""
    client = ChestXrayClient.from_settings(settings_for(place / "home", "trainer"))
    try:
        return client.predict(place / "images" / f"{number % 300}.png", request_id=f"kill-{number}").request_id
    except ServiceError:
        return ""


def strike(place: Path, victim: str, chance: random.Random, round_number: int) -> None:
    home = place / "home"
    if victim == "pipeline":
        start_and_kill(pipeline_command(place, seed=1), chance.uniform(1, 14))
    elif victim == "worker":
        time.sleep(chance.uniform(0, 1))
        kill_worker(home)
    else:
        if round_number % 2:
            stack.down(home)
        else:
            os.kill(next(one.pid for one in stack.status(home) if one.name == "mlflow"), signal.SIGKILL)
        start_and_kill([*THORAX, "up", "--json"], chance.uniform(0.2, 8))


def mended(place: Path) -> None:
    """What a user does next: `thorax up`."""
    done = subprocess.run([*THORAX, "up", "--json"], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    os.environ.update(environment(place / "home", "trainer"))


def check_nothing_torn(place: Path, answered: set[str], served: str) -> None:
    home = place / "home"
    verification = AuditLog(home / "audit").verify()
    assert verification.ok, verification.problem
    for dataset in (home / "datasets").glob("[!.]*"):
        load_dataset(dataset, check_digest=True)
    registry = Registry.from_settings(settings_for(home, "trainer"))
    for version in registry.versions():
        assert version.tags["gates"] == "passed"
    assert load_state(home / "release").serving.version == served
    logged = {row["request_id"] for row in read_spool(home / "predictions" / "spool")}
    assert answered <= logged


def test_ten_kills_at_random_points_lose_and_corrupt_nothing(place: Path, tmp_path: Path) -> None:
    home = place / "home"
    chance, answered, number = random.Random(SEED), set(), 0
    served = load_state(home / "release").serving.version
    for round_number, victim in enumerate(VICTIMS):
        for _ in range(3):
            number += 1
            answered |= {answer(place, number)} - {""}
        strike(place, victim, chance, round_number)
        mended(place)
        number += 1
        wait_for(functools.partial(answer, place, number), f"an answer after killing the {victim}")
        answered.add(f"kill-{number}")
        check_nothing_torn(place, answered, served)
    assert len(answered) >= 2 * len(VICTIMS)

    ended = subprocess.run(pipeline_command(place, seed=1), capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    version = json.loads(ended.stdout)["version"]
    registry = Registry.from_settings(settings_for(home, "trainer"))
    digests = [one.tags["package.digest"] for one in registry.versions()]
    assert len(digests) == len(set(digests)) == 2
    verify_package(registry.download(version, tmp_path / "model"), registry.get(version).tags["package.digest"])
    check_nothing_torn(place, answered, served)
