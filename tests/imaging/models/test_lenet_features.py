"""While it trains on a CPU, LeNet-5 computes by matrix products what its layers, one after the other, would."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from imaging.models import build_model
from imaging.models.lenet_features import gains, tanh_pooled_twice


def layer_by_layer(images: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    """Torch's own layers."""
    return functional.avg_pool2d(second(functional.avg_pool2d(first(images).tanh(), 2)).tanh(), 2)


def gradients(output: Tensor, network: nn.Module) -> list[Tensor]:
    """Return the gradients of a function of the output by all weights."""
    network.zero_grad()
    output.mul(torch.arange(output.numel(), dtype=output.dtype).view_as(output).cos()).sum().backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


@given(
    count=st.integers(1, 3),
    height=st.sampled_from([16, 20, 28]),
    width=st.sampled_from([16, 24, 32]),
    inputs=st.integers(1, 3),
    channels_last=st.booleans(),
)
def test_values_and_gradients_are_those_of_the_layers(
    count: int, height: int, width: int, inputs: int, channels_last: bool
) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(inputs, 2, 5), nn.Conv2d(2, 3, 5)).double()
    images = torch.randn(count, inputs, height, width, dtype=torch.float64)
    if channels_last:
        images, layers = (thing.to(memory_format=torch.channels_last) for thing in (images, layers))
    assert gains(images)
    quick, plain = tanh_pooled_twice(images, *layers), layer_by_layer(images, *layers)
    torch.testing.assert_close(quick, plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(quick, layers), gradients(plain, layers), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (1, 28), (3, 32)])
def test_lenet5_trains_as_the_plain_network_does_in_single_precision(channels: int, size: int) -> None:
    torch.manual_seed(0)
    network = build_model("lenet5", num_classes=10, channels=channels, size=size).train()
    images = torch.randn(8, channels, size, size)
    quick, plain = network(images), network.classifier(network.pool(network.features(images)))
    torch.testing.assert_close(quick, plain, rtol=0, atol=1e-6)
    for one, other in zip(gradients(quick, network), gradients(plain, network), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=4e-6 * float(other.abs().max()))


def test_what_is_served_runs_layer_by_layer() -> None:
    network = build_model("lenet5", num_classes=10, channels=1)
    seen = []
    network.features[0][0].register_forward_hook(lambda *_: seen.append("convolution"))
    images = torch.randn(4, 1, 32, 32)
    network.train()(images)
    assert not seen
    network.eval()(images)
    assert seen == ["convolution"]


@pytest.mark.parametrize("size", [17, 30, 31])
def test_sides_that_are_no_whole_number_of_tiles_run_layer_by_layer(size: int) -> None:
    images = torch.randn(2, 1, size, size)
    assert not gains(images)
    assert build_model("lenet5", num_classes=10, channels=1, size=size).train()(images).shape == (2, 10)


def test_a_process_without_an_image_of_the_batch_runs_layer_by_layer() -> None:
    assert build_model("lenet5", num_classes=10, channels=1).train()(torch.randn(0, 1, 32, 32)).shape == (0, 10)


def test_half_precision_and_gradients_by_the_image_run_layer_by_layer() -> None:
    network = build_model("lenet5", num_classes=10, channels=1).train()
    images = torch.randn(2, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(images).isfinite().all()
    network(images.requires_grad_()).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
