"""A training by two processes as a whole: figures, files, errors, a killed process, a stop. On a CPU, with gloo."""

import os
import signal
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
from tests.imaging.training.factories import dataset_on_disk, two_stages, weights_file

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

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
