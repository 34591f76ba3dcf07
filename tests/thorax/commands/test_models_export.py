"""`thorax models export`: a model directory in, an ONNX file and the model's description out."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.config import InputConfig
from imaging.errors import ConfigurationError
from imaging.models.architectures import build_model
from imaging.models.directory import ModelInfo, load_info, save_model
from imaging.models.manifest import file_digest
from thorax.commands.models import app


@pytest.fixture
def model(tmp_path: Path) -> Path:
    info = ModelInfo(
        recipe="any", architecture="small_cnn", classes=("a", "b"), input=InputConfig(size=32), packed_size=32
    )
    save_model(tmp_path / "model", build_model("small_cnn", num_classes=2, size=32), info)
    return tmp_path / "model"


def test_it_names_the_file_and_its_digest(model: Path, tmp_path: Path) -> None:
    order = ["export", str(model), "--out", str(tmp_path / "out"), "--precision", "fp16", "--json"]
    result = CliRunner().invoke(app, order, catch_exceptions=False)
    said = json.loads(result.stdout)
    file = tmp_path / "out" / "model.fp16.onnx"
    assert said == {
        "file": str(file),
        "precision": "fp16",
        "bytes": file.stat().st_size,
        "digest": file_digest(file),
    }
    assert load_info(tmp_path / "out") == load_info(model)


def test_int8_is_not_made_without_images(model: Path, tmp_path: Path) -> None:
    order = ["export", str(model), "--out", str(tmp_path / "out"), "--precision", "int8"]
    with pytest.raises(ConfigurationError, match=r"model\.int8\.onnx"):
        CliRunner().invoke(app, order, catch_exceptions=False)
