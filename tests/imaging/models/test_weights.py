import hashlib
import io
import logging
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, NotFoundError
from imaging.models import MODELS, build_model
from imaging.models.preprocessing import to_input
from imaging.models.weights import find_weights, initialise, load_backbone
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


def test_a_published_classifier_is_loaded_but_for_its_last_layer(tmp_path: Path) -> None:
    name = "mobilenet_v3_small"
    theirs = torchvision.models.get_model(name, weights=None, num_classes=7)
    torch.save(theirs.state_dict(), tmp_path / f"{name}.pth")
    model = build_model(name, num_classes=3)
    before = model.get_parameter("classifier.3.weight").clone()
    initialise(model, name, Settings(weights=tmp_path), pretrained=True)
    assert torch.equal(model.get_parameter("classifier.0.weight"), theirs.get_parameter("classifier.0.weight"))
    assert torch.equal(model.get_parameter("classifier.3.weight"), before)
    small = build_model(name, num_classes=3, size=64, head="flatten_256")
    assert initialise(small, name, Settings(weights=tmp_path), pretrained=True)
    torch.save(
        {key: value for key, value in theirs.state_dict().items() if key != "classifier.0.bias"}, tmp_path / "a.pt"
    )
    with pytest.raises(ConfigurationError, match=r"1 tensors missing .* the first being classifier\.0\.bias"):
        initialise(model, name, Settings(weights=tmp_path / "a.pt"), pretrained=True)


@pytest.mark.parametrize("auxiliary", [False, True])
def test_auxiliary_heads_in_a_file_are_taken_or_left(tmp_path: Path, auxiliary: bool) -> None:
    theirs = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=True)
    torch.save(theirs.state_dict(), tmp_path / "googlenet.pth")
    model = build_model("googlenet", num_classes=3, auxiliary=auxiliary)
    provenance = initialise(model, "googlenet", Settings(weights=tmp_path), pretrained=True)
    assert provenance.startswith("imagenet:sha256:")
    if auxiliary:
        assert torch.equal(model.get_parameter("aux1.fc1.weight"), theirs.get_parameter("aux1.fc1.weight"))


def test_positions_are_stretched_to_another_grid(tmp_path: Path) -> None:
    def small(size: int) -> torch.nn.Module:
        options = {"patch_size": 16, "num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8, "num_classes": 2}
        return torchvision.models.VisionTransformer(image_size=size, **options)

    theirs, ours = small(32), small(64)
    state = theirs.state_dict()
    load_backbone(ours, "vit_b_16", state, source="positions")
    given, taken = (model.state_dict()["encoder.pos_embedding"] for model in (theirs, ours))
    assert torch.equal(given[:, 0], taken[:, 0])
    corners = taken[:, 1:].unflatten(1, (4, 4))[:, ::3, ::3].flatten(1, 2)
    torch.testing.assert_close(corners, given[:, 1:])


def test_a_name_that_ends_in_a_hash_is_held_to_it(tmp_path: Path) -> None:
    torch.save(build_model("resnet20_cifar", num_classes=2).state_dict(), tmp_path / "file.pt")
    digest = hashlib.sha256((tmp_path / "file.pt").read_bytes()).hexdigest()
    good, bad = tmp_path / f"resnet20_cifar-{digest[:8]}.pt", tmp_path / "resnet20_cifar-00000000.pt"
    for path in (good, bad):
        path.write_bytes((tmp_path / "file.pt").read_bytes())
    model = build_model("resnet20_cifar", num_classes=3)
    assert initialise(model, "resnet20_cifar", Settings(weights=good), pretrained=True) == f"cifar10:sha256:{digest}"
    with pytest.raises(ConfigurationError, match=r"its name promises 00000000…: it is damaged"):
        initialise(model, "resnet20_cifar", Settings(weights=bad), pretrained=True)


def test_a_file_of_a_longer_name_is_another_network(tmp_path: Path) -> None:
    for name in ("vgg16_bn-1.pth", "googlenet_cifar.pt"):
        (tmp_path / name).write_bytes(b"")
    assert find_weights(tmp_path, "vgg16") is None
    assert find_weights(tmp_path, "googlenet") is None
    assert find_weights(tmp_path, "vgg16_bn") == tmp_path / "vgg16_bn-1.pth"


def test_weights_are_not_fed_what_they_do_not_expect(place: Path) -> None:
    fed = InputConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    model = build_model("mobilenet_v2", num_classes=3)
    with pytest.raises(ConfigurationError, match=r"expect input.mean \(0.485, 0.456, 0.406\) and input.std"):
        initialise(model, "mobilenet_v2", Settings(weights=place), pretrained=True, fed=fed)
    assert initialise(model, "mobilenet_v2", Settings(weights=place), pretrained=False, fed=fed) == "random"
    assert initialise(model, "mobilenet_v2", Settings(weights=place), pretrained=True, fed=InputConfig())


@pytest.mark.parametrize(
    ("architecture", "origin"),
    [("mobilenet_v2", "imagenet"), ("resnet20_cifar", "cifar10"), ("resnet56_cifar", "cifar10")],
)
def test_the_real_files_load(real_data: Path, architecture: str, origin: str) -> None:
    settings = Settings(weights=real_data / "weights")
    model = build_model(architecture, num_classes=10)
    assert initialise(model, architecture, settings, pretrained=True).startswith(f"{origin}:sha256:")


def test_the_real_resnet20_knows_an_aeroplane_when_fed_as_it_was_trained(real_data: Path) -> None:
    state = torch.load(real_data / "weights/resnet20_cifar10.pt", weights_only=True)
    known = MODELS["resnet20_cifar"]
    config = InputConfig(size=32, mean=known.mean, std=known.std)
    model = build_model("resnet20_cifar", num_classes=10, dropout=0).eval()
    model.load_state_dict({name.replace("linear.", "linear.1."): value for name, value in state.items()})
    with ZipFile(real_data / "cifar10/cifar10_jpeg_10k_2k.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/") and name.endswith(".jpg"))[::10]
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    classes = sorted({name.split("/")[1] for name in names})
    labels = torch.tensor([classes.index(name.split("/")[1]) for name in names])
    with torch.no_grad():
        right = (model(to_input(torch.from_numpy(np.stack(images)), config)).argmax(1) == labels).float().mean()
    assert right > 0.75
