"""The quick LeNet-5 block computes what its layers, one after the other, would."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from imaging.models import build_model
from imaging.models.pooled_convolution import Layout, TanhPooledConvolution


def one_by_one(network: nn.Module) -> nn.Module:
    """The same network, of torch's own layers only."""
    plain = copy.deepcopy(network)
    for name, block in list(plain.named_modules()):
        if isinstance(block, TanhPooledConvolution):
            plain.set_submodule(name, nn.Sequential(*block))
    return plain


def results(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The output, and the gradients of a function of it by all that goes in."""
    images = images.clone().requires_grad_()
    output = network(images)
    output.mul(torch.arange(output.numel(), dtype=output.dtype).view_as(output).cos()).sum().backward()
    return [output.detach(), images.grad, *(parameter.grad for parameter in network.parameters())]


@given(
    count=st.integers(1, 3),
    height=st.integers(6, 13),
    width=st.integers(6, 13),
    inputs=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 5]),
    layout=st.sampled_from(["planes", "blocks"]),
    channels_last=st.booleans(),
)
def test_it_is_convolution_tanh_and_pooling_in_values_and_gradients(
    count: int, height: int, width: int, inputs: int, kernel: int, layout: Layout, channels_last: bool
) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(TanhPooledConvolution(inputs, 2, kernel, layout=layout)).double()
    images = torch.randn(count, inputs, height, width, dtype=torch.float64)
    images = images.contiguous(memory_format=torch.channels_last) if channels_last else images
    for quick, plain in zip(results(block, images), results(one_by_one(block), images), strict=True):
        torch.testing.assert_close(quick, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (1, 28), (3, 32)])
def test_lenet5_trains_as_the_plain_network_does_in_single_precision(channels: int, size: int) -> None:
    torch.manual_seed(0)
    network = build_model("lenet5", num_classes=10, channels=channels, size=size).train()
    images = torch.randn(8, channels, size, size)
    for quick, plain in zip(results(network, images), results(one_by_one(network), images), strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-5, atol=4e-6 * float(plain.abs().max()))


def test_what_is_served_runs_layer_by_layer_and_agrees_with_what_was_trained() -> None:
    torch.manual_seed(0)
    network = build_model("lenet5", num_classes=10, channels=1)
    seen = []
    network.features[0][0].register_forward_hook(lambda *_: seen.append("convolution"))
    images = torch.randn(4, 1, 32, 32)
    trained = network.train()(images)
    assert not seen
    served = network.eval()(images)
    assert seen == ["convolution"]
    torch.testing.assert_close(served, trained, rtol=0, atol=1e-6)


def test_half_precision_and_networks_without_bias_work_too() -> None:
    network = build_model("lenet5", num_classes=10, channels=1).train()
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(2, 1, 32, 32)).isfinite().all()
    block = TanhPooledConvolution(1, 2, 5, layout="planes")
    block[0].bias = None
    torch.testing.assert_close(block(torch.ones(1, 1, 8, 8)), nn.Sequential(*block)(torch.ones(1, 1, 8, 8)))
