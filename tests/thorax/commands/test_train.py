import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from imaging.errors import ConfigurationError, NotFoundError
from imaging.inference import Predictor
from imaging.recipes import changed_recipe
from tests.imaging.training.factories import CLASSES, blobs, dataset_on_disk
from thorax.cli import app
from thorax.commands.train import stopped_text
from thorax.live_training import LiveTraining
from thorax.training_run import is_trained, packed_side

SMALL = ["--set", "input.size=32", "--set", "batch_size=8"]


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


def lines(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders of PNG files."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = blobs(60, size=96)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dataset_on_disk(tmp_path_factory.mktemp("data"))


def test_a_folder_of_images_becomes_a_measured_model_with_its_reports(pictures: Path, home: Path) -> None:
    result = call("mobilenetv2_smoke", "--data", pictures, "--size", 64, "--set", "batch_size=8")
    assert result.exit_code == 0, result.stderr
    (model,) = (home / "models").iterdir()
    assert model.name.startswith("mobilenetv2_smoke-")
    files = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert {"model.safetensors", "curves.png", "split.json", "evaluation/evaluation.html"} <= files
    assert "tensorboard/validation/events.out.tfevents.epochs" in files
    assert Predictor.load(model).info.operating_points.keys() == {"covid", "pneumonia"}
    told = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if line[0] != " ")
    assert told["model"] == str(model)
    assert told["test"].startswith("accuracy 0.")
    assert "images/s" in result.stdout
    assert "of the training time waiting for data" in result.stdout
    assert "undecided: the last stage's 1 epoch shows no direction yet" in result.stdout
    assert "thorax pipelines run train-classifier --recipe mobilenetv2_smoke" in result.stdout
    assert "from-scratch" in result.stderr


def test_json_is_a_line_an_epoch_and_a_last_one_with_the_result(
    version: tuple[Path, Path], tmp_path: Path, home: Path
) -> None:
    data, split = version
    words = ("--split", split, "--out", tmp_path / "model", "--no-evaluate", "--json", *SMALL)
    result = call("smallcnn_phantom", "--data", data, "--set", "stages.0.epochs=3", *words)
    assert result.exit_code == 0, result.stderr
    *epochs, last = lines(result)
    assert [epoch["event"] for epoch in epochs] == ["epoch"] * 3
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert {"train_loss", "val_loss", "val_macro_auroc", "images_per_s", "data_share"} <= epochs[0].keys()
    assert (last["event"], last["epochs"], last["test"]) == ("result", 3, None)
    assert last["model"] == str(tmp_path / "model")
    assert last["best"] == {key: value for key, value in epochs[last["best"]["epoch"] - 1].items() if key != "event"}
    assert last["verdict"]["rule"]
    config = json.loads((tmp_path / "model" / "run.json").read_text())["config"]
    assert (config["input"]["size"], config["stages"][0]["epochs"]) == (32, 3)
    assert not (home / "models").exists()


def test_quiet_prints_nothing(version: tuple[Path, Path], home: Path) -> None:
    data, split = version
    words = ("--split", split, "--no-evaluate", "--quiet", *SMALL)
    result = call("smallcnn_phantom", "--data", data, "--set", "stages.0.epochs=1", *words)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_model_that_was_not_evaluated_is_not_trained_again_for_it(version: tuple[Path, Path], home: Path) -> None:
    data, split = version
    words = ("smallcnn_phantom", "--data", data, "--split", split, "--set", "stages.0.epochs=1", "--json", *SMALL)
    trained = lines(call(*words, "--no-evaluate"))
    evaluated = call(*words)
    assert "this was trained before" in evaluated.stderr
    (last,) = lines(evaluated)
    assert last["model"] == trained[-1]["model"]
    assert last["test"]["images"] == 12
    assert last["test"]["macro_auroc"]["low"] <= last["test"]["macro_auroc"]["value"]
    assert [line["event"] for line in lines(call(*words, "--no-evaluate"))] == ["epoch", "result"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("nobody", "--data", "."), NotFoundError, "no recipe 'nobody'; there are: "),
        (("mobilenetv2_smoke", "--data", ".", "--set", "speed=1"), ConfigurationError, "no field 'speed' in a recipe"),
        (("mobilenetv2_smoke", "--data", ".", "--set", "stages.9.epochs=1"), ConfigurationError, "there are: 0 to 1"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_anything_is_read(
    words: tuple[str, ...], error: type, message: str, home: Path
) -> None:
    result = call(*words)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not home.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--split", "split.json", "--keep-split"),
        (
            "--weights",
            "/",
        ),
        ("--weights", "no such file"),
        ("--devices", "0"),
    ],
)
def test_options_that_do_not_go_together_are_misuse(words: tuple[str, ...], home: Path) -> None:
    assert call("mobilenetv2_smoke", "--data", ".", *words).exit_code == 2


def test_a_folder_with_other_things_is_not_replaced_by_a_model(
    version: tuple[Path, Path], tmp_path: Path, home: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    result = call("mobilenetv2_smoke", "--data", version[0], "--out", tmp_path)
    assert isinstance(result.exception, ConfigurationError)
    assert "other things in it" in str(result.exception)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


class Command:
    """`thorax train` in a process of its own, read line by line."""

    def __init__(self, home: Path, *words: object) -> None:
        code = "import torch; torch.set_num_threads(1); from thorax.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "train", *map(str, words), "--json"],
            env={**os.environ, "THORAX_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def epochs(self) -> Iterator[int]:
        for line in self.process.stdout:
            yield json.loads(line)["epoch"]

    def stop(self) -> tuple[int, str]:
        """Send Ctrl-C; return the exit status and what was said last."""
        self.process.send_signal(signal.SIGINT)
        _, told = self.process.communicate(timeout=60)
        return self.process.returncode, told.splitlines()[-1]


def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(
    version: tuple[Path, Path], tmp_path: Path, home: Path
) -> None:
    data, split = version
    words = ("smallcnn_phantom", "--data", data, "--split", split, "--out", tmp_path / "model", *SMALL)
    long = ("--set", "stages.0.epochs=5000", "--set", "patience=5000")
    first = Command(home, *words, *long)
    seen = [epoch for epoch, _ in zip(first.epochs(), range(3), strict=False)]
    status, told = first.stop()
    assert (seen, status) == ([1, 2, 3], 130)
    stopped_after = int(told.split()[3].rstrip(";"))
    assert told == f"stopped after epoch {stopped_after}; the checkpoint is kept; the same command goes on"
    assert not (tmp_path / "model").exists()

    second = Command(home, *words, *long)
    went_on_with = next(second.epochs())
    assert second.stop()[0] == 130
    assert went_on_with == stopped_after + 1


def test_what_a_ctrl_c_stopped_is_told_by_how_far_the_run_was() -> None:
    live = LiveTraining(quiet=True)
    assert stopped_text(live) == "stopped before training began; the same command starts anew"
    live.begin("training", "preparing")
    assert stopped_text(live) == "stopped before the first epoch was over; the same command starts anew"
    live.epochs_done = 4
    assert stopped_text(live) == "stopped after epoch 4; the checkpoint is kept; the same command goes on"
    live.begin("measuring", "calibrating")
    assert "the model is kept" in stopped_text(live)


def test_a_run_file_that_was_cut_off_means_training_again(tmp_path: Path) -> None:
    assert not is_trained(tmp_path, "key")
    (tmp_path / "run.json").write_text('{"key": "ke')
    assert not is_trained(tmp_path, "key")
    (tmp_path / "run.json").write_text('{"key": "key"}')
    assert is_trained(tmp_path, "key")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "evaluation.json").write_text("{}")
    assert not is_trained(tmp_path, "key")


@pytest.mark.parametrize(
    ("recipe", "changes", "side"),
    [
        ("mobilenetv2_xray3", {}, 224),
        ("mobilenetv2_smoke", {}, 64),
        ("mobilenetv2_smoke", {"registered_model": "own"}, 32),
        ("lenet5_mnist", {}, None),
    ],
)
def test_images_are_packed_as_the_recipe_reads_them_and_no_smaller_than_the_service_takes(
    recipe: str, changes: dict, side: int | None
) -> None:
    assert packed_side(changed_recipe(recipe, changes)) == side
