"""`model.json` of every kind of recipe: what rebuilds the network, and what says how it is to be asked."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from imaging.config import Floors, InputConfig, Stage, TrainConfig
from imaging.errors import ModelPackageError
from imaging.models import build_model
from imaging.models.directory import ModelInfo, critical_classes, describe_model, load_info, load_model, save_model

STAGE = Stage(name="all", epochs=1, trainable="all", lr=1e-3)
DIGITS = TrainConfig(
    name="digits",
    architecture="lenet5",
    registered_model="lenet5-mnist",
    subject="picture",
    input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,), fit="pad"),
    stages=(STAGE,),
    pretrained=False,
)
PNEUMONIA = TrainConfig(
    name="pneumonia",
    architecture="resnet18",
    loss="binary",
    head="pooled_256",
    input=InputConfig(size=64),
    stages=(STAGE,),
)
AUXILIARY = TrainConfig(
    name="aux",
    architecture="googlenet",
    subject="picture",
    auxiliary_weight=0.3,
    input=InputConfig(size=224),
    stages=(STAGE,),
)


def described(config: TrainConfig, classes: tuple[str, ...], *, side: int = 32, channels: int = 1) -> ModelInfo:
    about = {"initial_weights": "random", "digests": {"dataset": "sha256:d"}}
    return describe_model(config, classes, packed_size=side, packed_channels=channels, **about)


def network(config: TrainConfig, classes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(
        config.architecture,
        num_classes=classes,
        channels=config.input.channels,
        size=config.input.size,
        head=config.head,
        single_logit=config.loss == "binary",
        auxiliary=config.auxiliary_weight > 0,
    )


@pytest.mark.parametrize(
    ("config", "classes"),
    [(DIGITS, tuple("0123456789")), (PNEUMONIA, ("normal", "pneumonia")), (AUXILIARY, ("cat", "dog", "owl"))],
    ids=["digits", "one logit", "auxiliary heads"],
)
def test_every_kind_of_network_is_rebuilt_from_its_description(
    config: TrainConfig, classes: tuple[str, ...], tmp_path: Path
) -> None:
    model, info = network(config, len(classes)), described(config, classes)
    save_model(tmp_path, model, info)
    loaded = load_model(tmp_path, load_info(tmp_path))
    images = torch.randn(2, config.input.channels, config.input.size, config.input.size)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model.eval()(images))
    assert load_info(tmp_path) == info


def test_a_description_says_under_which_name_what_is_registered() -> None:
    info = described(DIGITS, tuple("0123456789"), side=28)
    assert (info.name, info.subject, info.packed_size, info.packed_channels) == ("lenet5-mnist", "picture", 28, 1)
    assert info.initial_weights == "random, as the recipe says"
    assert described(PNEUMONIA, ("normal", "pneumonia")).initial_weights == "random"


@pytest.mark.parametrize(
    ("subject", "classes", "floors", "critical"),
    [
        ("radiograph", ("NORMAL", "PNEUMONIA"), {}, ("PNEUMONIA",)),
        ("radiograph", ("covid", "normal", "pneumonia"), {}, ("covid", "pneumonia")),
        ("radiograph", ("a", "b"), {"b": 0.5}, ("b",)),
        ("radiograph", ("a", "b"), {}, ("a", "b")),
        ("picture", ("cat", "normal"), {"cat": 0.5}, ()),
    ],
)
def test_critical_are_the_sick_of_radiographs_and_nothing_of_pictures(
    subject: str, classes: tuple[str, ...], floors: dict[str, float], critical: tuple[str, ...]
) -> None:
    config = PNEUMONIA.replace(subject=subject, floors=Floors(sensitivity_lower=floors))
    assert critical_classes(classes, config) == critical


def test_a_model_json_of_before_is_of_a_grey_radiograph_called_chest_xray(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(
        '{"schema_version": 1, "recipe": "r", "architecture": "resnet18", "classes": ["a", "b"], '
        '"input": {"size": 64}, "packed_size": 64}'
    )
    info = load_info(tmp_path)
    assert (info.name, info.subject, info.packed_channels, info.head) == ("chest-xray", "radiograph", 1, "plain")
    assert not info.single_logit
    assert not info.auxiliary


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"single_logit": True, "classes": ("a", "b", "c")}, "one logit tells 2 classes apart, got 3"),
        ({"subject": "picture", "critical_classes": ("a",)}, "a picture has no critical class, got a"),
        ({"name": "Chest X-ray"}, "name"),
        ({"packed_channels": 4}, "packed_channels"),
    ],
)
def test_a_description_that_cannot_be_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelInfo.model_validate({**described(PNEUMONIA, ("a", "b")).model_dump(), **change})


def test_weights_of_another_head_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, network(PNEUMONIA, 2), described(PNEUMONIA.replace(head="plain"), ("normal", "pneumonia")))
    with pytest.raises(ModelPackageError, match="is not a resnet18 with 2 classes"):
        load_model(tmp_path, load_info(tmp_path))
