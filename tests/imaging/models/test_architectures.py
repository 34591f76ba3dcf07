import pytest
import torch

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, NotFoundError
from imaging.models import MODELS, build_model, check_input_size
from imaging.models.layers import Tail, backbone_blocks, head_module, last_feature_layer, pooled, trunk
from imaging.models.preprocessing import to_input, to_unit


@pytest.mark.parametrize("architecture", MODELS)
def test_blocks_pooling_and_head_in_order_are_the_whole_network(architecture: str) -> None:
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        features = images
        for block in backbone_blocks(model):
            features = block(features)
        torch.testing.assert_close(head_module(model)(pooled(features)), expected)
        middle = len(backbone_blocks(model)) // 2
        torch.testing.assert_close(Tail(model, middle).eval()(trunk(model, middle)(images)), expected)
    assert last_feature_layer(model) is backbone_blocks(model)[-1] or architecture == "densenet121"
    assert 0 < MODELS[architecture].last_blocks < len(backbone_blocks(model))


def test_a_network_can_read_one_channel() -> None:
    model = build_model("resnet18", num_classes=2, channels=1).eval()
    assert model(torch.rand(1, 1, 32, 32)).shape == (1, 2)


def test_an_unknown_architecture_is_told_which_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"no architecture 'vgg'; there are: mobilenet_v2, resnet18"):
        build_model("vgg", num_classes=3)


@pytest.mark.parametrize(
    ("classes", "channels", "message"), [(1, 3, "at least 2 classes, got 1"), (3, 2, "channels can be 1 or 3, got 2")]
)
def test_impossible_networks_are_refused(classes: int, channels: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_model("resnet18", num_classes=classes, channels=channels)


def test_an_input_that_would_shrink_to_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 32 px, got 16"):
        check_input_size("resnet18", 16)


def test_an_input_is_normalised_grey_in_every_channel() -> None:
    images = torch.randint(0, 256, (2, 16, 16), dtype=torch.uint8)
    config = InputConfig(size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    inputs = to_input(images, config)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
        torch.testing.assert_close(inputs[:, channel], (images / 255 - mean) / std)


def test_resizing_keeps_the_mean_of_a_fine_pattern() -> None:
    board = (torch.arange(64).view(1, -1) + torch.arange(64).view(-1, 1)) % 2 * 255
    small = to_unit(board.to(torch.uint8).unsqueeze(0), 16)
    assert small.shape == (1, 16, 16)
    assert (small - 0.5).abs().max() < 0.06


def test_an_input_needs_a_mean_for_each_channel() -> None:
    with pytest.raises(ConfigurationError, match="got 2 and 3"):
        to_input(torch.zeros(1, 8, 8, dtype=torch.uint8), InputConfig(size=8, mean=(0.1, 0.2)))
