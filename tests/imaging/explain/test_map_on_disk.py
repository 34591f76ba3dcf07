import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from imaging.config import InputConfig
from imaging.errors import NotFoundError
from imaging.explain import MAP_METHODS, overlay_png
from imaging.explain.map_on_disk import explain_map
from imaging.explain.scale import with_scale
from imaging.models import build_model
from imaging.models.directory import ModelInfo, save_model
from thorax.cli import app


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    info = ModelInfo(
        recipe="tiny",
        name="things",
        subject="picture",
        architecture="small_cnn",
        classes=("a", "b"),
        input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,)),
        packed_size=32,
        packed_channels=1,
    )
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("explained") / "model"
    save_model(place, build_model("small_cnn", num_classes=2, channels=1, size=32), info)
    return place


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("method", MAP_METHODS)
def test_the_command_draws_a_map_with_its_scale(model: Path, picture: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "new" / "map.png"
    command = ["explain", "map", str(model), str(picture), "--method", method, "--out", str(out), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["method"] == method
    assert answer["class"] == answer["prediction"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    drawn = Image.open(io.BytesIO(out.read_bytes()))
    assert drawn.height == 14 * 32
    assert drawn.width > drawn.height
    assert explain_map(model, picture, tmp_path / "again.png", method=method).file.read_bytes() == out.read_bytes()


def test_another_class_can_be_asked_for_and_one_that_is_not_there_is_named(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    assert {explain_map(model, picture, tmp_path / "x.png", of_class=name).explained for name in "ab"} == {"a", "b"}
    with pytest.raises(NotFoundError, match="no class 'c'; the model's are: a, b"):
        explain_map(model, picture, tmp_path / "x.png", of_class="c")
    with pytest.raises(NotFoundError, match="is no model directory"):
        explain_map(tmp_path, picture, tmp_path / "x.png")


def test_the_scale_goes_from_red_on_top_to_bare_grey_and_leaves_the_overlay_alone() -> None:
    overlay = overlay_png(np.full((240, 240), 70, np.uint8), np.zeros((240, 240)))
    sheet = np.asarray(Image.open(io.BytesIO(with_scale(overlay))))
    assert (sheet[:, :240] == 70).all()
    bar = sheet[10:-10, 240 + 8]
    red, green, blue = bar[0].astype(int)
    assert red > 150
    assert red > green
    assert red > blue
    assert bar[-1].max() - bar[-1].min() < 8
