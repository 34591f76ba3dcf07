"""Convolution, tanh and 2x2 average pooling as one stride-2 convolution, which a CPU trains in half the time.

A convolution of kernel k followed by 2x2 pooling needs four values for each of its outputs. They are the four
groups of channels of one convolution of kernel k + 1 and stride 2, whose filters are the same ones, shifted by no
or one pixel each way. Then pooling adds up whole planes in memory instead of neighbours, and channels are many
enough to fill a vector. And tanh(z) = 2 sigmoid(2z) - 1, of which torch's sigmoid takes a tenth of the time.
The layers and their weights stay what they are; only the order of additions differs.
"""

import itertools
from functools import cache
from typing import Literal

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
    shifted, shifted_bias = _shifted(weight), None if bias is None else (2.0 * bias).repeat(PHASES)
    groups = (PHASES, len(weight))
    if layout == "planes":
        planes = images.flatten(1).view(images.shape)  # a single channel's memory has two names, and the other is slow
        values = functional.conv2d(planes, shifted, shifted_bias, stride=2).sigmoid()
        return values.unflatten(1, groups).sum(1).mul_(0.5).sub_(1.0)
    values = functional.conv2d(_blocks(images), _blocks(shifted), shifted_bias).sigmoid()
    pooled = values.permute(0, 2, 3, 1).unflatten(3, groups).sum(3)
    return pooled.mul_(0.5).sub_(1.0).permute(0, 3, 1, 2)


def _shifted(weight: Tensor) -> Tensor:
    """Return filters (O, C, k, k) twice as large in value, at four places each: (4 O, C, k + 1, k + 1)."""
    outputs, inputs, kernel, _ = weight.shape
    wide = kernel + 1
    shifted = weight.reshape(outputs * inputs, -1) @ _twice_shifted(kernel, weight.dtype)
    return shifted.view(outputs, inputs, PHASES, wide, wide).permute(2, 0, 1, 3, 4).reshape(-1, inputs, wide, wide)


@cache
def _twice_shifted(kernel: int, dtype: torch.dtype) -> Tensor:
    """Return the matrix (k k, 4 (k + 1) (k + 1)) that puts a filter at four places, twice as large in value."""
    with torch.inference_mode(False):
        places = torch.zeros(kernel, kernel, 2, 2, kernel + 1, kernel + 1, dtype=dtype)
        for down, right, y, x in itertools.product(range(2), range(2), range(kernel), range(kernel)):
            places[y, x, down, right, y + down, x + right] = 2.0
        return places.view(kernel * kernel, -1)


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
