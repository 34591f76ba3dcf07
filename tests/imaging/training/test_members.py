"""An ensemble is trained network by network; what a kill leaves is gone on with."""

from pathlib import Path

import numpy as np
import pytest

from imaging.errors import ConfigurationError
from imaging.inference import Predictor
from imaging.models.directory import load_info
from imaging.settings import Settings
from imaging.training import EpochResult, Progress, train_on_disk
from tests.imaging.training.factories import SIZE, blobs, dataset_on_disk, two_stages, weights_file


class KilledError(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dataset_on_disk(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_file(tmp_path_factory.mktemp("weights"))


def test_each_member_is_what_its_seed_alone_gives_and_the_answer_is_their_mean(data, weights, tmp_path: Path) -> None:
    settings, told = Settings(home=tmp_path / "home", weights=weights), []
    progress: list[Progress] = []
    config = two_stages(members=2, seed=3)
    best = train_on_disk(
        config, *data, tmp_path / "both", settings=settings, on_epoch=told.append, on_progress=progress.append
    )
    for seed in (3, 4):
        train_on_disk(two_stages(seed=seed), *data, tmp_path / str(seed), settings=settings)
    info = load_info(tmp_path / "both")
    assert (info.members, info.seed, info.digests["recipe"]) == (2, 3, config.digest)
    assert [one.stage for one in told][::4] == ["head, member 1 of 2", "head, member 2 of 2"]
    assert {one.stage.rpartition(",")[2] for one in progress} == {" member 1 of 2", " member 2 of 2"}
    images = np.asarray(blobs(6)[0]).reshape(-1, SIZE, SIZE)
    alone = np.stack([Predictor.load(tmp_path / str(seed)).probabilities(images) for seed in (3, 4)])
    assert not np.allclose(alone[0], alone[1])
    assert Predictor.load(tmp_path / "both").probabilities(images) == pytest.approx(alone.mean(axis=0), abs=1e-6)
    assert best.val_loss > 0
    assert not list((tmp_path / "home" / "checkpoints").iterdir())


def test_a_run_killed_in_its_second_member_goes_on_there_and_ends_with_the_same_weights(
    data, weights, tmp_path: Path
) -> None:
    config = two_stages(members=2)
    whole = Settings(home=tmp_path / "a", weights=weights)
    train_on_disk(config, *data, tmp_path / "whole", settings=whole)
    settings, seen = Settings(home=tmp_path / "b", weights=weights), []

    def kill_in_second(result: EpochResult) -> None:
        seen.append((result.stage.rpartition(" member ")[2], result.epoch))
        if len(seen) == 6:
            raise KilledError

    with pytest.raises(KilledError):
        train_on_disk(config, *data, tmp_path / "out", settings=settings, on_epoch=kill_in_second, checkpoint_every_s=0)
    assert not (tmp_path / "out").exists()
    train_on_disk(config, *data, tmp_path / "out", settings=settings, on_epoch=kill_in_second)
    assert seen[4:] == [("2 of 2", 1), ("2 of 2", 2), ("2 of 2", 2), ("2 of 2", 3), ("2 of 2", 4)]
    name = "model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_member_of_another_start_is_not_gone_on_with(data, weights, tmp_path: Path) -> None:
    config, seen = two_stages(members=2), []

    def kill_in_second(result: EpochResult) -> None:
        seen.append(result.stage)
        if len(seen) == 5:
            raise KilledError

    settings = Settings(home=tmp_path / "home", weights=weights)
    with pytest.raises(KilledError):
        train_on_disk(config, *data, tmp_path / "out", settings=settings, on_epoch=kill_in_second)
    train_on_disk(config, *data, tmp_path / "out", settings=Settings(home=tmp_path / "home"), on_epoch=kill_in_second)
    assert load_info(tmp_path / "out").initial_weights == "random"
    assert [stage.rpartition(" member ")[2] for stage in seen[5:6]] == ["1 of 2"]


def test_several_processes_are_told_how_to_train_one(data, weights, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="thorax models join"):
        train_on_disk(
            two_stages(members=2), *data, tmp_path / "out", settings=Settings(home=tmp_path / "h", weights=weights)
        )


def test_a_recipe_of_one_network_keeps_its_digest() -> None:
    assert two_stages(members=1).digest == two_stages().digest != two_stages(members=2).digest
