from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imaging.config import InputConfig
from imaging.errors import ModelPackageError
from imaging.models import build_model
from imaging.models.directory import (
    ModelInfo,
    load_info,
    load_model,
    package_digest,
    replace_info,
    save_model,
    verify_package,
)

INFO = ModelInfo(
    recipe="tiny",
    architecture="mobilenet_v2",
    classes=("normal", "pneumonia", "covid"),
    input=InputConfig(size=32),
    packed_size=32,
    critical_classes=("pneumonia", "covid"),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build_model("mobilenet_v2", num_classes=3), INFO)
    return tmp_path / "model"


def test_a_saved_model_loads_equal(directory: Path) -> None:
    info = load_info(directory)
    assert info == INFO
    torch.manual_seed(0)
    expected = build_model("mobilenet_v2", num_classes=3).state_dict()
    loaded = load_model(directory, info).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


@given(
    temperature=st.floats(0.01, 100),
    floor=st.floats(0, 1),
    points=st.dictionaries(st.sampled_from(INFO.classes), st.floats(0, 1)),
)
def test_a_description_survives_json(temperature: float, floor: float, points: dict[str, float]) -> None:
    info = ModelInfo.model_validate(
        {**INFO.model_dump(), "temperature": temperature, "confidence_floor": floor, "operating_points": points}
    )
    assert ModelInfo.model_validate_json(info.model_dump_json()) == info


def test_replacing_a_field_leaves_the_original_alone(directory: Path, tmp_path: Path) -> None:
    replace_info(directory, tmp_path / "warm", temperature=1.5, operating_points={"covid": 0.3})
    assert load_info(tmp_path / "warm").temperature == 1.5
    assert load_info(directory) == INFO
    assert (tmp_path / "warm" / "model.safetensors").read_bytes() == (directory / "model.safetensors").read_bytes()


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"operating_points": {"flu": 0.5}}, {"colour": "blue"}])
def test_an_impossible_change_writes_nothing(directory: Path, tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ModelPackageError, match="cannot be changed so"):
        replace_info(directory, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_a_package_is_verified_by_its_digest(directory: Path) -> None:
    digest = package_digest(directory)
    assert verify_package(directory, digest) == INFO
    (directory / "signature.json").write_text("{}")
    assert package_digest(directory) == digest
    weights = bytearray((directory / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (directory / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelPackageError, match="it was changed"):
        verify_package(directory, digest)


@pytest.mark.parametrize("name", ["hook.py", "model.pt", "weights.bin", "sub/extra.PKL"])
def test_a_file_that_could_run_code_is_refused(directory: Path, name: str) -> None:
    (directory / "sub").mkdir()
    (directory / name).write_bytes(b"")
    with pytest.raises(ModelPackageError, match="could run code"):
        verify_package(directory, package_digest(directory))


def test_a_link_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("x")
    (directory / "notes.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ModelPackageError, match="is a link"):
        verify_package(directory, package_digest(directory))


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / "model.json").unlink()
    with pytest.raises(ModelPackageError, match=r"lacks model\.json"):
        verify_package(directory, package_digest(directory))


def test_weights_of_another_class_count_are_refused(directory: Path) -> None:
    save_model(directory, build_model("mobilenet_v2", num_classes=2), INFO)
    with pytest.raises(ModelPackageError, match="not a mobilenet_v2 with 3 classes"):
        load_model(directory, load_info(directory))


def test_truncated_weights_are_refused(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelPackageError, match="no readable"):
        load_model(directory, INFO)


def test_a_later_schema_asks_for_an_upgrade(directory: Path) -> None:
    path = directory / "model.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ModelPackageError, match="schema 9"):
        load_info(directory)


def test_a_new_description_goes_into_an_absent_folder_only_whole(tmp_path: Path) -> None:
    with pytest.raises(ModelPackageError, match="no readable"):
        replace_info(tmp_path / "absent", tmp_path / "out", temperature=2.0)
    assert not (tmp_path / "out").exists()
