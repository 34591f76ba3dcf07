import pytest
import torch
import torchvision
from torch import nn

from imaging.errors import ConfigurationError, NotFoundError
from imaging.models import MODELS, build_model, check_input_size
from imaging.models.layers import (
    Tail,
    backbone_blocks,
    feature_depth,
    head_module,
    last_feature_layer,
    layout_of,
    pool,
    trunk,
)

OTHERS = ("convnext_tiny", "mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "mnasnet0_5")
"""Of torchvision's, without a row of their own: families that are known, and some that are not."""


def _size(architecture: str) -> int:
    return {"alexnet": 64, "inception_v3": 75, "vgg16": 32}.get(architecture, 32)


@pytest.mark.parametrize("architecture", [*MODELS, *OTHERS])
def test_blocks_pooling_and_head_in_order_are_the_whole_network(architecture: str) -> None:
    torch.manual_seed(0)
    size = _size(architecture)
    model = build_model(architecture, num_classes=3, size=size).eval()
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = model(images)
        features = images
        for block in backbone_blocks(model):
            features = block(features)
        torch.testing.assert_close(head_module(model)(pool(model, features)), expected)
        middle = len(backbone_blocks(model)) // 2
        torch.testing.assert_close(Tail(model, middle).eval()(trunk(model, middle)(images)), expected)
    assert expected.shape == (2, 3)
    assert 0 < feature_depth(model) <= len(backbone_blocks(model))
    if architecture in MODELS:
        assert 0 < MODELS[architecture].last_blocks < len(backbone_blocks(model))
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for block in (*backbone_blocks(model), head_module(model)) for p in block.parameters()
    )


@pytest.mark.parametrize("head", ["pooled_256", "flatten_256"])
@pytest.mark.parametrize(
    "architecture", ["resnet18", "mobilenet_v2", "alexnet", "googlenet", "lenet5", "convnext_tiny"]
)
def test_a_small_head_sits_on_any_feature_map(architecture: str, head: str) -> None:
    size = _size(architecture)
    model = build_model(architecture, num_classes=3, size=size, head=head, dropout=0.5).eval()
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = model(images)
        depth = len(backbone_blocks(model))
        features = pool(model, trunk(model, depth)(images))
        torch.testing.assert_close(head_module(model)(features), expected)
    drops = [layer.p for layer in head_module(model).modules() if isinstance(layer, nn.Dropout)]
    assert drops == ([0.5, 0.4] if head == "pooled_256" else [0.5])


def test_the_flattened_head_of_vgg16_reads_what_the_published_one_does() -> None:
    model = build_model("vgg16", num_classes=5, head="flatten_256", size=32)
    layers = [layer for layer in head_module(model) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(512 * 7 * 7, 256), (256, 5)]


def test_lenet5_is_the_published_one_at_both_sides() -> None:
    for size, first in ((32, 16 * 5 * 5), (28, 16 * 4 * 4)):
        model = build_model("lenet5", num_classes=10, channels=1, size=size)
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert [tuple(layer.weight.shape) for layer in layers] == [
            (6, 1, 5, 5),
            (16, 6, 5, 5),
            (120, first),
            (84, 120),
            (10, 84),
        ]
        assert sum(isinstance(layer, nn.Tanh) for layer in model.modules()) == 4
        assert sum(isinstance(layer, nn.AvgPool2d) for layer in model.modules()) == 2
    assert sum(p.numel() for p in build_model("lenet5", num_classes=10, channels=1).parameters()) == 61_706


@pytest.mark.parametrize(
    ("architecture", "channels", "parameters"),
    [
        ("cnn_mnist", 1, 421_642),
        ("cnn_mnist_valid", 1, 225_034),
        ("cnn_cifar10", 3, 356_810),
        ("resnet20_cifar", 3, 269_722),
        ("resnet56_cifar", 3, 853_018),
    ],
)
def test_a_published_network_has_the_published_number_of_weights(
    architecture: str, channels: int, parameters: int
) -> None:
    model = build_model(architecture, num_classes=10, channels=channels)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("architecture", ["densenet121", "mobilenet_v2", "googlenet"])
def test_what_is_ours_of_a_network_of_torchvisions_changes_nothing(architecture: str) -> None:
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": False} if architecture == "googlenet" else {}
    theirs = torchvision.models.get_model(architecture, weights=None, num_classes=3, **options).eval()
    ours = build_model(architecture, num_classes=3).eval()
    state = {name.replace("fc.", "fc.1."): value for name, value in theirs.state_dict().items()}
    if architecture == "densenet121":
        state = {name.replace("classifier.", "classifier.1."): value for name, value in state.items()}
    ours.load_state_dict(state)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(("architecture", "heads"), [("googlenet", 2), ("googlenet_cifar", 2)])
def test_auxiliary_heads_speak_in_training_only(architecture: str, heads: int) -> None:
    model = build_model(architecture, num_classes=4, size=32, auxiliary=True)
    logits, *others = model.train()(torch.rand(2, 3, 32, 32))
    assert [value.shape for value in (logits, *others)] == [(2, 4)] * (heads + 1)
    assert model.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 4)
    sum(value.sum() for value in (logits, *others)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_small_googlenet_keeps_the_maps_that_its_modules_were_made_for() -> None:
    model = build_model("googlenet_cifar", num_classes=10).eval()
    images, sides = torch.rand(1, 3, 32, 32), []
    with torch.no_grad():
        for block in backbone_blocks(model):
            images = block(images)
            sides.append(images.shape[-1])
    assert sides == [32, 32, 32, 16, 16, 16, 16, 16, 8, 8]


def test_one_logit_is_a_sigmoid() -> None:
    model = build_model("vgg16", num_classes=2, size=32, single_logit=True, head="pooled_256").eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        logits = model(images)
    assert not logits[:, 0].any()
    torch.testing.assert_close(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())


def test_a_network_of_unknown_blocks_is_one_block() -> None:
    layout = layout_of(build_model("regnet_y_400mf", num_classes=2))
    assert len(layout.blocks) == 1
    assert not layout.known


def test_a_network_can_read_one_channel() -> None:
    for architecture in ("resnet18", "googlenet", "cnn_cifar10"):
        model = build_model(architecture, num_classes=2, channels=1, size=32).eval()
        assert model(torch.rand(1, 1, 32, 32)).shape == (1, 2)


def test_the_last_feature_layer_is_the_last_block() -> None:
    model = build_model("resnet18", num_classes=2)
    assert last_feature_layer(model) is model.get_submodule("layer4.1")


def test_an_unknown_architecture_is_told_which_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"no architecture 'vgg'; there are: mobilenet_v2, .*torchvision: convnext"):
        build_model("vgg", num_classes=3)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("resnet18", {"num_classes": 1}, "at least 2 classes, got 1"),
        ("resnet18", {"channels": 2}, "channels can be 1 or 3, got 2"),
        ("resnet18", {"head": "wide"}, "no head 'wide'; there are: plain, pooled_256, flatten_256"),
        ("regnet_y_400mf", {"head": "flatten_256"}, "no feature map .*heads it can have: plain, pooled_256"),
        ("densenet169", {"head": "flatten_256"}, "no feature map .*heads it can have: plain, pooled_256"),
        ("resnet18", {"single_logit": True}, "one logit tells 2 classes apart, got 3"),
        ("resnet18", {"auxiliary": True}, "no auxiliary heads; those that have: googlenet, inception_v3, googlenet_"),
        ("inception_v3", {"auxiliary": True, "size": 224}, "need an input of at least 299 px, got 224"),
        ("resnet18", {"size": 16}, "at least 32 px, got 16"),
        ("vit_b_16", {"size": 100}, "multiple of 16 px, got 100; the nearest are 96, 112"),
    ],
)
def test_impossible_networks_are_refused(architecture: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_model(architecture, **{"num_classes": 3, **options})


def test_an_input_that_would_shrink_to_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 63 px, got 32"):
        check_input_size("alexnet", 32)
