import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, NotFoundError
from imaging.explain.filters import FirstLayer, filters_png, first_layer, maps_png
from imaging.explain.on_disk import explain_filters
from imaging.models import MODELS, build_model
from imaging.models.directory import ModelInfo, save_model
from imaging.settings import Settings
from thorax.cli import app


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_alexnet_has_64_filters_of_11x11x3_in_eight_rows() -> None:
    layer = first_layer(build_model("alexnet", num_classes=2, size=64).eval(), torch.zeros(1, 3, 64, 64))
    assert layer.filters.shape == (64, 3, 11, 11)
    sheet = _pixels(filters_png(layer))
    assert sheet.shape == (8 * (4 * 11 + 2) + 2, 8 * (4 * 11 + 2) + 2, 3)


def test_a_filter_is_drawn_with_its_colours_from_least_to_greatest() -> None:
    filters = np.zeros((1, 3, 2, 2), np.float32)
    filters[0, 0, 0, 0], filters[0, 2, 1, 1] = 1, -1
    tile = _pixels(filters_png(FirstLayer(name="stem", filters=filters, maps=np.zeros((1, 1, 1)))))[2:-2, 2:-2]
    assert tile[0, 0].tolist() == [255, 128, 128]
    assert tile[-1, -1].tolist() == [128, 128, 0]


def test_a_feature_map_is_the_first_convolutions_answer() -> None:
    model = build_model("lenet5", num_classes=2, channels=1).eval()
    image = torch.rand(1, 1, 32, 32)
    layer = first_layer(model, image)
    with torch.no_grad():
        np.testing.assert_allclose(layer.maps, model.get_submodule("features.0.0")(image)[0].numpy(), atol=1e-6)
    sheet = _pixels(maps_png(layer))
    assert sheet.shape == (2 * (3 * 28 + 2) + 2, 3 * (3 * 28 + 2) + 2, 3)
    assert sheet[2:86, 2:86].min() == 0
    assert sheet[2:86, 2:86].max() == 255


@pytest.mark.parametrize("architecture", [name for name in MODELS if name not in ("vgg16", "resnet101", "alexnet")])
def test_the_first_layer_of_every_architecture_is_found(architecture: str) -> None:
    size = {"inception_v3": 75}.get(architecture, 32)
    model = build_model(architecture, num_classes=2, size=size, channels=1).eval()
    layer = first_layer(model, torch.rand(1, 1, size, size))
    assert layer.filters.shape[1] == 1
    assert layer.maps.shape[0] == layer.filters.shape[0]
    assert _pixels(filters_png(layer)).ndim == 3


def test_an_image_of_other_channels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one image of 3 channels, got"):
        first_layer(build_model("resnet18", num_classes=2), torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_trained_model_is_explained_by_its_own_input(tmp_path: Path, picture: Path, channels: int) -> None:
    info = ModelInfo(
        recipe="tiny",
        name="mnist",
        subject="picture",
        architecture="lenet5",
        classes=("a", "b"),
        input=InputConfig(size=32, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels),
        packed_size=28,
        packed_channels=channels,
    )
    save_model(tmp_path / "model", build_model("lenet5", num_classes=2, channels=channels, size=32), info)
    drawn = explain_filters(str(tmp_path / "model"), picture, tmp_path / "out", settings=Settings())
    assert drawn.filters == (6, channels, 5, 5)
    assert drawn.maps == (6, 28, 28)
    assert drawn.weights == "tiny, from random"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.files)


def test_the_command_draws_an_architecture_with_weights(tmp_path: Path, picture: Path, home: Path) -> None:
    torch.save(build_model("mobilenet_v2", num_classes=2).state_dict(), tmp_path / "mobilenet_v2.pt")
    command = ["explain", "filters", "mobilenet_v2", str(picture), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, [*command, "--weights", str(tmp_path)])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["filters"] == [32, 3, 3, 3]
    assert answer["weights"].startswith("imagenet:sha256:")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"filters.png", "feature_maps.png"}


def test_a_name_that_is_nothing_is_told_what_there_is(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(NotFoundError, match="no architecture 'nothing'; there are: mobilenet_v2"):
        explain_filters("nothing", picture, tmp_path / "out", settings=Settings())
    with pytest.raises(NotFoundError, match=r"no model directory: it holds no model\.json"):
        explain_filters(str(tmp_path), picture, tmp_path / "out", settings=Settings())
