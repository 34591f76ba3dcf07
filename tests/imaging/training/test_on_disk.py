import json
import logging
from pathlib import Path

import pytest

from imaging.data.splits import Split
from imaging.errors import ConfigurationError, DataError
from imaging.inference import Predictor
from imaging.recipes import get_recipe
from imaging.settings import Settings
from imaging.training import EpochResult, train_on_disk
from tests.imaging.training.factories import CLASSES, SIZE, blobs, dataset_on_disk, two_stages, weights_file


class KilledError(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dataset_on_disk(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_file(tmp_path_factory.mktemp("weights"))


def test_a_killed_run_goes_on_and_writes_the_same_weights(
    data: tuple[Path, Path], weights: Path, tmp_path: Path
) -> None:
    whole = Settings(home=tmp_path / "a", weights=weights)
    best = train_on_disk(two_stages(), *data, tmp_path / "whole", settings=whole)
    seen: list[int] = []

    def kill_in_third(result: EpochResult) -> None:
        seen.append(result.epoch)
        if result.epoch == 3:
            raise KilledError

    settings = Settings(home=tmp_path / "b", weights=weights)
    with pytest.raises(KilledError):
        train_on_disk(
            two_stages(), *data, tmp_path / "out", settings=settings, on_epoch=kill_in_third, checkpoint_every_s=0
        )
    assert not (tmp_path / "out").exists()
    again = train_on_disk(
        two_stages(), *data, tmp_path / "out", settings=settings, on_epoch=lambda result: seen.append(result.epoch)
    )
    assert seen == [1, 2, 3, 3, 4]
    assert again == best
    name = "model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "b" / "checkpoints").iterdir())


def test_a_damaged_checkpoint_is_left_behind_aloud(
    data: tuple[Path, Path], weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path / "home", weights=weights)

    def kill(result: EpochResult) -> None:
        if result.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_on_disk(two_stages(), *data, tmp_path / "out", settings=settings, on_epoch=kill, checkpoint_every_s=0)
    (checkpoint,) = (tmp_path / "home" / "checkpoints").rglob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    with caplog.at_level(logging.WARNING):
        train_on_disk(two_stages(), *data, tmp_path / "out", settings=settings)
    assert "cannot be used: training starts anew" in caplog.text
    assert len(json.loads((tmp_path / "out" / "curves.json").read_text())["epochs"]) == 4


def test_the_model_directory_says_what_made_it_and_answers(
    data: tuple[Path, Path], weights: Path, tmp_path: Path
) -> None:
    best = train_on_disk(two_stages(), *data, tmp_path / "out", settings=Settings(home=tmp_path, weights=weights))
    predictor = Predictor.load(tmp_path / "out")
    info = predictor.info
    assert (info.recipe, info.classes, info.packed_size) == ("tiny", CLASSES, SIZE)
    assert info.critical_classes == ("covid", "pneumonia")
    assert info.initial_weights.startswith("imagenet:sha256:")
    assert info.digests["split"] == Split.load(data[1]).digest
    assert {"dataset", "split", "recipe", "code"} == info.digests.keys()
    curves = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert curves["best_epoch"] == best.epoch
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert predictor.probabilities(blobs(3)[0]).shape == (3, 3)


def test_the_smoke_recipe_runs_from_random_numbers(data: tuple[Path, Path], tmp_path: Path) -> None:
    best = train_on_disk(get_recipe("mobilenetv2_smoke"), *data, tmp_path / "out", settings=Settings(home=tmp_path))
    assert best.stage == "from-scratch"
    assert Predictor.load(tmp_path / "out").info.initial_weights.startswith("random")


def test_a_split_of_another_dataset_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    split = Split.load(data[1])
    Split(parts=split.parts, dataset_digest="sha256:other").save(tmp_path / "split.json")
    with pytest.raises(DataError, match="made for dataset sha256:other"):
        train_on_disk(
            two_stages(), data[0], tmp_path / "split.json", tmp_path / "out", settings=Settings(home=tmp_path)
        )


def test_an_input_too_small_for_the_network_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    config = two_stages(input={"size": 16})
    with pytest.raises(ConfigurationError, match="at least 32 px"):
        train_on_disk(config, tmp_path, tmp_path, tmp_path / "out", settings=Settings(home=tmp_path))
