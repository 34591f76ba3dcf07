import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Occlusion
from torch import nn

from imaging.errors import ConfigurationError
from imaging.explain import MAP_METHODS, explain_class
from imaging.explain.class_weights import class_weights
from imaging.explain.grad_cam import heat_maps
from imaging.explain.integrated_gradients import integrated_gradients
from imaging.explain.occlusion import occlusion
from imaging.models import MODELS, build_model
from imaging.models.layers import Tail, feature_depth, trunk

SIZES = {"inception_v3": 75, "alexnet": 64}
LINEAR = ("mobilenet_v2", "resnet18", "densenet121", "efficientnet_b0", "googlenet", "resnet20_cifar", "small_cnn")


class Patch(nn.Module):
    """Speaks for class 1 by the brightness of one quarter of the picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        corner = images[:, :, :16, 16:].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(corner), 4 * corner], dim=1)


def inputs_of(size: int, *, count: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", MODELS)
def test_every_architecture_is_explained_by_every_method_and_twice_the_same(architecture: str) -> None:
    size = SIZES.get(architecture, 32)
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3, size=size).eval()
    images, target = inputs_of(size), torch.tensor([1])
    for method in MAP_METHODS:
        first, again = (
            explain_class(model, images, target, method=method, size=24, steps=2, windows=2) for _ in range(2)
        )
        assert first.shape == (1, 24, 24)
        assert first.dtype == np.float32
        assert np.isfinite(first).all()
        assert first.min() >= 0
        assert first.max() <= 1
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_the_map_lies_where_the_evidence_is(method: str) -> None:
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    images[:, :, :16, 16:] += 1
    maps = explain_class(Patch(), images, torch.tensor([1, 1]), method=method)
    inside = maps[:, :16, 16:].sum() / maps.sum()
    assert inside > (0.999 if method == "integrated-gradients" else 0.7)
    assert not explain_class(Patch(), images, torch.tensor([0, 0]), method=method).any()


def test_integrated_gradients_add_up_to_the_change_of_the_log_probability_and_are_captums() -> None:
    torch.manual_seed(0)
    model = build_model("lenet5", num_classes=3, channels=1).eval()
    images, targets = inputs_of(32, count=2, channels=1), torch.tensor([0, 2])
    ours = integrated_gradients(model, images, targets, steps=40)

    def score(points: torch.Tensor) -> torch.Tensor:
        return model(points).log_softmax(1)

    theirs = IntegratedGradients(score).attribute(images, target=targets, n_steps=40, method="riemann_middle")
    torch.testing.assert_close(ours, theirs.float(), atol=1e-5, rtol=1e-3)
    change = (score(images) - score(torch.zeros_like(images))).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(ours.sum((1, 2, 3)), change, atol=0.01, rtol=0.02)


def test_occlusion_is_captums() -> None:
    torch.manual_seed(0)
    model = build_model("lenet5", num_classes=3, channels=1).eval()
    image, target = inputs_of(32, channels=1), torch.tensor([1])
    ours = occlusion(model, image, target, windows=7)
    theirs = Occlusion(lambda points: model(points).log_softmax(1)).attribute(
        image, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4), target=target
    )
    torch.testing.assert_close(ours, theirs[:, 0].float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", LINEAR)
@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_the_closed_form_is_what_a_backward_pass_gives(architecture: str, method: str) -> None:
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3, size=64).eval()
    depth = feature_depth(model)
    tail = Tail(model, depth).eval()
    with torch.no_grad():
        features = trunk(model, depth)(inputs_of(64, count=3))
    targets = torch.tensor([0, 1, 2])
    assert class_weights(tail) is not None
    closed = heat_maps(tail, features, targets, method=method, size=16)
    tail.head = nn.Sequential(tail.head, nn.Hardtanh(-1e9, 1e9))  # changes nothing, and is not known to
    assert class_weights(tail) is None
    np.testing.assert_allclose(closed, heat_maps(tail, features, targets, method=method, size=16), atol=1e-5)
    assert closed.any()


def test_a_single_logits_classes_have_opposite_weights_and_one_of_them_is_silent() -> None:
    model = build_model("small_cnn", num_classes=2, size=32, single_logit=True).eval()
    weights = class_weights(Tail(model, feature_depth(model)))
    assert weights is not None
    assert not weights[0].any()
    assert weights[1].any()


@pytest.mark.parametrize(("architecture", "head"), [("resnet18", "pooled_256"), ("lenet5", "plain")])
def test_a_head_with_more_than_linear_layers_has_no_class_weights(architecture: str, head: str) -> None:
    model = build_model(architecture, num_classes=2, size=32, head=head).eval()
    assert class_weights(Tail(model, feature_depth(model))) is None


def test_dropout_at_work_has_no_class_weights() -> None:
    model = build_model("resnet18", num_classes=2, size=32).train()
    assert class_weights(Tail(model, feature_depth(model))) is None


def test_a_network_without_a_known_feature_map_is_told_what_works_and_it_does() -> None:
    torch.manual_seed(0)
    model = build_model("shufflenet_v2_x0_5", num_classes=2, size=32).eval()
    with pytest.raises(ConfigurationError, match="integrated-gradients and occlusion work on every network"):
        explain_class(model, inputs_of(32), torch.tensor([0]), method="grad-cam")
    assert explain_class(model, inputs_of(32), torch.tensor([0]), method="occlusion", windows=2).shape == (1, 32, 32)
    with pytest.raises(
        ConfigurationError, match="there are: grad-cam, grad-cam\\+\\+, integrated-gradients, occlusion"
    ):
        explain_class(model, inputs_of(32), torch.tensor([0]), method="lime")


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_what_is_dark_can_matter(method: str) -> None:
    image = torch.ones(1, 1, 32, 32)
    image[:, :, :16, 16:] = 0
    maps = explain_class(Patch(), image, torch.tensor([0]), method=method)
    assert maps[:, :16, 16:].sum() / maps.sum() > 0.7
