import io

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image
from torch import nn

from imaging.errors import ConfigurationError
from imaging.explain import METHODS, grad_cam, overlay_png
from imaging.models.layers import last_feature_layer
from tests.imaging.training.factories import living_network


class BrightnessNetwork(nn.Module):
    """One feature, the local brightness, that speaks for class 1 and against class 0."""

    def __init__(self) -> None:
        super().__init__()
        blur = nn.Conv2d(1, 1, 8, stride=8, bias=False)
        nn.init.constant_(blur.weight, 1 / 64)
        self.features = nn.Sequential(blur, nn.ReLU())
        self.classifier = nn.Linear(1, 2, bias=False)
        self.classifier.weight.data = torch.tensor([[-1.0], [1.0]])


@pytest.mark.parametrize("method", METHODS)
def test_the_map_points_at_the_planted_blob(method: str) -> None:
    images = torch.zeros(2, 1, 64, 64)
    images[0, :, 8:24, 40:56] = 1
    images[1, :, 40:56, 8:24] = 1
    maps = grad_cam(BrightnessNetwork().eval(), images, torch.tensor([1, 1]), method=method)
    assert maps.shape == (2, 64, 64)
    assert maps.min() >= 0
    assert maps.max() == 1
    assert maps[0, 8:24, 40:56].mean() > 0.7
    assert maps[0, 40:, :24].max() == 0
    assert maps[1, 40:56, 8:24].mean() > 0.7


def test_nothing_speaks_for_the_other_class() -> None:
    images = torch.rand(1, 1, 64, 64)
    assert not grad_cam(BrightnessNetwork().eval(), images, torch.tensor([0])).any()


def test_grad_cam_is_captums_over_the_whole_network() -> None:
    model = living_network("resnet18")
    images, targets = torch.randn(2, 3, 64, 64), torch.tensor([0, 2])
    ours = grad_cam(model, images, targets, size=2)
    theirs = LayerGradCam(model, last_feature_layer(model)).attribute(images, target=targets, relu_attributions=True)
    theirs = theirs.detach().squeeze(1)
    np.testing.assert_allclose(ours, (theirs / theirs.amax((1, 2), keepdim=True)).numpy(), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_does_not_depend_on_its_batch(method: str) -> None:
    model = living_network()
    images, targets = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2])
    together = grad_cam(model, images, targets, method=method)
    for index in range(3):
        alone = grad_cam(model, images[index : index + 1], targets[index : index + 1], method=method)
        np.testing.assert_allclose(alone[0], together[index], atol=1e-4)


def test_an_unknown_method_is_told_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"there are: grad-cam, grad-cam\+\+"):
        grad_cam(BrightnessNetwork(), torch.zeros(1, 1, 16, 16), torch.tensor([0]), method="lime")


def test_an_overlay_leaves_the_image_alone_where_the_map_is_zero() -> None:
    image = np.full((32, 32), 90, dtype=np.uint8)
    heat = np.zeros((32, 32), dtype=np.float32)
    heat[:, 16:] = 1
    drawn = np.asarray(Image.open(io.BytesIO(overlay_png(image, heat))))
    assert drawn.shape == (32, 32, 3)
    assert (drawn[:, :16] == 90).all()
    red, _, blue = drawn[0, 20]
    assert red > 150 > blue


def test_an_overlay_stretches_a_small_map() -> None:
    drawn = Image.open(io.BytesIO(overlay_png(np.zeros((48, 64), np.uint8), np.ones((7, 7)))))
    assert drawn.size == (64, 48)


def test_an_overlay_of_a_colour_image_leaves_it_as_it_is_where_the_map_is_0() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    heat_map = np.zeros((8, 6), np.float32)
    heat_map[:4] = 1
    drawn = np.asarray(Image.open(io.BytesIO(overlay_png(image, heat_map))))
    np.testing.assert_array_equal(drawn[4:], image[4:])
    assert (drawn[:4, :, 0] >= 0.55 * 220 - 1).all()


@pytest.mark.parametrize("shape", [(8, 8, 4), (8,), (1, 8, 8, 3)])
def test_an_overlay_of_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="needs an image"):
        overlay_png(np.zeros(shape, np.uint8), np.zeros((8, 8)))
