import hashlib
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from imaging.errors import ConfigurationError, NotFoundError
from imaging.models import build_model
from imaging.models.weights import initialise
from imaging.settings import Settings


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights for one architecture, in both formats' order of preference."""
    folder = tmp_path_factory.mktemp("weights")
    state = build_model("mobilenet_v2", num_classes=7).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "mobilenet_v2_a.safetensors")
    torch.save(state, folder / "mobilenet_v2_b.pt")
    return folder


@pytest.mark.parametrize("name", ["mobilenet_v2_a.safetensors", "mobilenet_v2_b.pt", "."])
def test_weights_come_from_a_file_or_a_folder_and_their_digest_is_told(place: Path, name: str) -> None:
    settings = Settings(weights=place / name)
    model = build_model("mobilenet_v2", num_classes=3)
    before = model.get_parameter("classifier.1.weight").clone()
    provenance = initialise(model, "mobilenet_v2", settings, pretrained=True)
    file = place / name if name != "." else place / "mobilenet_v2_a.safetensors"
    assert provenance == f"imagenet:sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    given = torch.load(place / "mobilenet_v2_b.pt", weights_only=True)
    assert torch.equal(model.state_dict()["features.18.0.weight"], given["features.18.0.weight"])
    assert torch.equal(model.get_parameter("classifier.1.weight"), before)


def test_one_channel_sees_a_grey_image_as_three_channels_do(place: Path) -> None:
    colour, grey = (build_model("mobilenet_v2", num_classes=3, channels=channels).eval() for channels in (3, 1))
    for model in (colour, grey):
        initialise(model, "mobilenet_v2", Settings(weights=place), pretrained=True)
    image = torch.rand(1, 1, 32, 32)
    stem = "features.0.0"
    expected = colour.get_submodule(stem)(image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey.get_submodule(stem)(image), expected)


def test_random_weights_are_said_loudly(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert (
            initialise(build_model("resnet18", num_classes=3), "resnet18", Settings(weights=place), pretrained=True)
            == "random"
        )
    assert "NO IMAGENET WEIGHTS for resnet18" in caplog.text


def test_a_recipe_that_wants_no_weights_gets_none_quietly(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = build_model("mobilenet_v2", num_classes=3)
    assert initialise(model, "mobilenet_v2", Settings(weights=place), pretrained=False) == "random"
    assert not caplog.records


def test_weights_of_another_network_are_refused(place: Path) -> None:
    settings = Settings(weights=place / "mobilenet_v2_b.pt")
    with pytest.raises(ConfigurationError, match="does not fit resnet18"):
        initialise(build_model("resnet18", num_classes=3), "resnet18", settings, pretrained=True)


def test_weights_that_are_not_finite_are_refused(place: Path, tmp_path: Path) -> None:
    state = torch.load(place / "mobilenet_v2_b.pt", weights_only=True)
    state["features.0.0.weight"][0] = float("nan")
    torch.save(state, tmp_path / "broken.pt")
    with pytest.raises(ConfigurationError, match="not finite"):
        initialise(
            build_model("mobilenet_v2", num_classes=3),
            "mobilenet_v2",
            Settings(weights=tmp_path / "broken.pt"),
            pretrained=True,
        )


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigurationError, match=r"weights\.pt is not a readable weights file"):
        initialise(
            build_model("resnet18", num_classes=3),
            "resnet18",
            Settings(weights=tmp_path / "weights.pt"),
            pretrained=True,
        )


def test_a_missing_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no weights at"):
        initialise(
            build_model("resnet18", num_classes=3), "resnet18", Settings(weights=tmp_path / "absent"), pretrained=True
        )
