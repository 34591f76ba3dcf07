"""A training by two processes as a whole: figures, files, errors, a killed process, a stop. On a CPU, with gloo."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from imaging.config import InputConfig, Stage, TrainConfig
from imaging.errors import TrainingDivergedError, TrainingProcessError
from imaging.inference import Predictor
from imaging.settings import Settings
from imaging.training import train_on_disk
from imaging.training.distributed import launch
from tests.components.cluster_api import ClusterApi, serve
from tests.imaging.training.factories import dataset_on_disk, two_stages, weights_file

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(300)]

FIGURES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_macro_auroc")
PROCESSES = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dataset_on_disk(tmp_path_factory.mktemp("data"))


def lenet(*, epochs: int = 2, **stage: object) -> TrainConfig:
    return TrainConfig(
        name="tiny",
        architecture="lenet5",
        input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,)),
        stages=(Stage.model_validate({"name": "all", "epochs": epochs, "trainable": "all", "lr": 2e-3, **stage}),),
        batch_size=7,
        patience=epochs,
        pretrained=False,
    )


def living_ranks() -> list[psutil.Process]:
    """The processes that train for this one, in the order they were started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.cmdline()[-2:-1] == ["imaging.training.process"] and "RANK" in child.environ():
                found.append((int(child.environ()["RANK"]), child))
        except psutil.Error:  # ended meanwhile
            continue
    return [child for _, child in sorted(found, key=lambda pair: pair[0])]


def test_two_processes_make_the_model_that_one_makes(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Two stages: the head on kept features, then the last blocks, whose batch norms keep their statistics."""
    config = two_stages(dropout=0.0)
    settings = Settings(home=tmp_path / "home", weights=weights_file(tmp_path))
    alone, together, within = [], [], []
    one = train_on_disk(config, *data, tmp_path / "one", settings=settings, on_epoch=alone.append)
    two = launch(
        config,
        *data,
        tmp_path / "two",
        processes=PROCESSES,
        settings=settings,
        on_epoch=together.append,
        on_progress=within.append,
    )

    assert (two.epoch, two.stage) == (one.epoch, one.stage)
    assert [(result.epoch, result.stage) for result in together] == [(1, "head"), (2, "head"), (3, "last"), (4, "last")]
    for mine, theirs in zip(alone, together, strict=True):
        assert [getattr(theirs, name) for name in FIGURES] == pytest.approx(
            [getattr(mine, name) for name in FIGURES], abs=1e-5
        )
    assert {(told.epoch, told.step) for told in within} >= {(epoch, 2) for epoch in (1, 2, 3, 4)}
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("one", "two")]
    assert names[0] == names[1]
    assert Predictor.load(tmp_path / "two").info == Predictor.load(tmp_path / "one").info
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_an_error_of_a_process_is_raised_as_what_it_is(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingDivergedError, match=r"loss is .*; a lower learning rate would help"):
        launch(
            lenet(lr=1e30, optimizer="sgd"),
            *data,
            tmp_path / "model",
            processes=PROCESSES,
            settings=Settings(home=tmp_path),
        )
    assert not (tmp_path / "model").exists()


def test_a_killed_process_ends_all_and_the_same_call_goes_on(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Both ways in which a run ends early: one process killed, then Ctrl-C."""
    config, told = lenet(epochs=400), []
    settings, model = Settings(home=tmp_path / "home"), tmp_path / "model"

    def train(victim: int | None) -> None:
        begun = len(told)

        def on_epoch(result) -> None:
            told.append(result.epoch)
            if len(told) == begun + 3:
                ranks = living_ranks()
                assert len(ranks) == PROCESSES
                if victim is None:
                    threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
                else:
                    ranks[victim].kill()

        launch(config, *data, model, processes=PROCESSES, settings=settings, on_epoch=on_epoch, checkpoint_every_s=0.0)

    started = time.monotonic()
    with pytest.raises(TrainingProcessError, match=r"SIGKILL ended process 1 of 2: .* goes on from it"):
        train(1)
    with pytest.raises(KeyboardInterrupt):
        train(None)
    first_again = told[3]
    assert 3 <= first_again <= 5  # what the first run told may not all have been saved, or more was than told
    assert time.monotonic() - started < 200  # bounded, not fast: far from torch's ten minutes
    assert living_ranks() == []
    assert not model.exists()

    (checkpoint,) = (tmp_path / "home" / "checkpoints").glob("*/run.safetensors")
    assert checkpoint.stat().st_size > 0


STEP = """
import json, sys
from kfp import dsl
from components.train_distributed import train_distributed

version, split, out, home = sys.argv[1:]
model, metrics = dsl.Model(uri=out), dsl.Metrics(uri=out + ".metrics")
machine = {"cpu": 1, "memory": "1Gi", "gpu_type": "", "volume": "thorax-home", "volume_path": home, "timeout_s": 240}
train_distributed.python_func(
    dataset=dsl.Dataset(uri=version), split=dsl.Artifact(uri=split), model=model, metrics=metrics,
    recipe="lenet5_mnist", overrides={"batch_size": 8}, machine=machine, nodes=2, processes=1,
)
print(json.dumps({**model.metadata, **metrics.metadata}))
"""


def play_nodes(api: ClusterApi, job: dict) -> None:
    """Run a job's command as two pods would: what Kubeflow Trainer adds is the PET_ variables."""
    trainer = job["spec"]["trainer"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {variable["name"]: variable["value"] for variable in trainer["env"]} | {"GLOO_SOCKET_IFNAME": "lo"}
    given |= {"PET_NNODES": str(trainer["numNodes"]), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, *trainer["command"][1:]],
            env={**os.environ, **given, "PYTHONPATH": str(Path.cwd()), "PET_NODE_RANK": str(node)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for node in range(trainer["numNodes"])
    ]
    for node, process in enumerate(started):
        api.say(process.communicate(timeout=240)[0], node=node)
    api.finish(job, "Failed" if any(process.returncode for process in started) else "Complete")


def test_a_step_trains_on_two_nodes_and_hands_the_model_on(data: tuple[Path, Path], tmp_path: Path) -> None:
    home, model = tmp_path / "home", tmp_path / "model"
    with serve(play_nodes) as api:
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "THORAX_HOME": str(home)}
        environment["KUBECONFIG"] = str(api.kube_config(tmp_path / "kubeconfig"))
        command = [sys.executable, "-c", STEP, *map(str, data), str(model), str(home)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    kept = json.loads(ended.stdout.splitlines()[-1])

    assert api.taken[0]["spec"]["trainer"]["numNodes"] == 2
    assert api.jobs == {}
    assert (kept["recipe"], kept["architecture"]) == ("lenet5_mnist", "lenet5")
    assert kept["val_loss"] < 1.1  # nats; by chance log 3
    assert Predictor.load(model).info.recipe == "lenet5_mnist"
    assert not list(home.rglob("*.safetensors"))
