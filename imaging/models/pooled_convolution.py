"""Convolution, tanh and 2x2 average pooling as one stride-2 convolution, which a CPU trains in half the time.

A convolution of kernel k followed by 2x2 pooling needs four values for each of its outputs. They are the four
groups of channels of one convolution of kernel k + 1 and stride 2, whose filters are the same ones, shifted by no
or one pixel each way. Then pooling adds up whole planes in memory instead of neighbours, and channels are many
enough to fill a vector. And tanh(z) = 2 sigmoid(2z) - 1, of which torch's sigmoid takes a tenth of the time.
The layers and their weights stay what they are; only the order of additions differs.
"""

import itertools
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

PHASES = 4
Layout = Literal["planes", "blocks"]


class TanhPooledConvolution(nn.Sequential):
    """A convolution, tanh, and 2x2 average pooling: images (N, inputs, h, w) to (N, outputs, h', w').

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Side of the filters; odd.
        layout: Of the arithmetic while training on a CPU: `planes` suits few inputs, `blocks` (each 2x2 pixels as
            channels) many.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, layout: Layout) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, kernel), nn.Tanh(), nn.AvgPool2d(2))
        self.layout = layout

    def forward(self, images: Tensor) -> Tensor:
        """Return pooled features; what is served, exported or looked into runs layer by layer."""
        convolution = self[0]
        if not self.training or not isinstance(convolution, nn.Conv2d) or not _gains(images):
            return super().forward(images)
        bias = convolution.bias
        return tanh_pooled(images, convolution.weight, bias=bias, layout=self.layout)


def tanh_pooled(images: Tensor, weight: Tensor, *, bias: Tensor | None, layout: Layout) -> Tensor:
    """Return avg_pool2d(tanh(conv2d(images, weight, bias)), 2).

    Args:
        images: (N, C, h, w).
        weight: (O, C, k, k), k odd.
        bias: (O,), if any.
        layout: Of the arithmetic.
    """
    outputs, inputs, kernel, _ = weight.shape
    places, back = _places(outputs, inputs, kernel, layout)
    shifted = _Shifted.apply(weight, places, back)
    shifted_bias = None if bias is None else (2.0 * bias).repeat(PHASES)
    if layout == "planes":
        planes = images.flatten(1).view(images.shape)  # a single channel's memory has two names, and the other is slow
        values = functional.conv2d(planes, shifted, shifted_bias, stride=2).sigmoid()
        return values.unflatten(1, (PHASES, outputs)).sum(1).mul_(0.5).sub_(1.0)
    values = functional.conv2d(_blocks(images), shifted.permute(0, 3, 1, 2), shifted_bias).sigmoid()
    pooled = values.permute(0, 2, 3, 1).unflatten(3, (PHASES, outputs)).sum(3)
    return pooled.mul_(0.5).sub_(1.0).permute(0, 3, 1, 2)


class _Shifted(torch.autograd.Function):
    """Puts filters, twice as large in value for the argument of the sigmoid, at four places each."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, places: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        ctx.shape = weight.shape
        values = functional.pad(2.0 * weight.flatten(), (0, 1))
        return values.index_select(0, places.view(-1)).view(places.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        placed = gradients[0].reshape(-1).index_select(0, back)
        return (2.0 * placed.view(PHASES, -1).sum(0)).view(ctx.shape), None, None


@cache
def _places(outputs: int, inputs: int, kernel: int, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return which value of the filters is where in the shifted ones, and where each is, four times.

    The first is in the shape of the shifted filters as they lie in memory, and names one past the last value where
    there is none.
    """
    count, wide = outputs * inputs * kernel * kernel, kernel + 1
    with torch.inference_mode(False):
        shifted = torch.full((2, 2, outputs, inputs, wide, wide), count)
        for down, right in itertools.product(range(2), range(2)):
            here = shifted[down, right, :, :, down : down + kernel, right : right + kernel]
            here.copy_(torch.arange(count).view(outputs, inputs, kernel, kernel))
        places = shifted.view(PHASES * outputs, inputs, wide, wide)
        if layout == "blocks":
            places = _blocks(places).permute(0, 2, 3, 1).contiguous()
        back = places.view(-1).argsort(stable=True)[: PHASES * count]
        return places, back.view(count, PHASES).T.reshape(-1)


def _blocks(images: Tensor) -> Tensor:
    """Make each 2x2 pixels one pixel of four times the channels: (N, C, h, w) to (N, 4 C, h // 2, w // 2)."""
    count, channels, height, width = images.shape
    rows, columns = height // 2, width // 2
    even = images[:, :, : 2 * rows, : 2 * columns].reshape(count, channels, rows, 2, columns, 2)
    return even.permute(0, 2, 4, 3, 5, 1).reshape(count, rows, columns, 4 * channels).permute(0, 3, 1, 2)


def _gains(images: Tensor) -> bool:
    """Say whether these are a CPU's, in full precision, and not seen by a compiler, which has its own ways."""
    exact = images.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    return images.device.type == "cpu" and exact and not torch.compiler.is_compiling()
