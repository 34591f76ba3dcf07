"""LeNet-5's two convolutions, each with tanh and average pooling, as two matrix products, for training on a CPU.

A convolution of few channels leaves a CPU's arithmetic idle. Here each square tile of neighbouring outputs reads its
patch of the input as one column of a matrix, and the filters become a matrix that holds every filter at each of the
tile's places: twice the multiplications, at several times the speed. A tile's outputs are ordered so that pooling
adds up quarters of a column, and the first layer's pooled tile is what the second reads as one pixel. Images lie next
to each other in memory, value by value, so that all that is not a product runs over long stretches. The weights, the
values and the gradients are those of the layers; only the order of additions differs.
"""

import itertools
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

KERNEL = 5
FIRST_TILE, SECOND_TILE = 4, 2
"""Sides of the tiles in outputs, before pooling."""
BLOCK = FIRST_TILE // 2
"""Side of the first layer's pooled tile: a pixel of the second layer, of so many times so many pixels."""
PATCH = (SECOND_TILE + KERNEL - 1) // BLOCK
"""Side in such pixels of what a tile of the second layer reads."""


def gains(images: Tensor) -> bool:
    """Say whether `tanh_pooled_twice` can have these images (N, C, h, w), and is quicker than the layers.

    They are a CPU's and some at least, nobody asks for their gradient, their side is a whole number of tiles, and
    arithmetic is neither of half precision nor a compiler's.
    """
    exact = images.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    whole = all(side % FIRST_TILE == (KERNEL - 1) % FIRST_TILE and side >= 16 for side in images.shape[2:])
    plain = len(images) > 0 and not images.requires_grad and not torch.compiler.is_compiling()
    return images.device.type == "cpu" and exact and whole and plain


def tanh_pooled_twice(images: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Return avg_pool2d(tanh(second(avg_pool2d(tanh(first(images)), 2))), 2)."""
    return _TanhPooledTwice.apply(images, first.weight, first.bias, second.weight, second.bias)


class _TanhPooledTwice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, *weights: Tensor) -> Tensor:
        first, first_bias, second, second_bias = weights
        patches = _patches(images.permute(1, 2, 3, 0).contiguous(), FIRST_TILE + KERNEL - 1, FIRST_TILE)
        first_values = _product(_tiled(first, first_bias, FIRST_TILE, 1), patches.t(), "tanh")
        pixels = _pooled(first_values).view(-1, *_grid(images, FIRST_TILE))
        second_patches = _patches(pixels, PATCH, 1)
        filters = _tiled(second, second_bias, SECOND_TILE, BLOCK)
        second_values = _product(filters, second_patches.t(), "tanh")
        ctx.save_for_backward(patches, first_values, second_patches, filters, second_values)
        ctx.shapes = first.shape, second.shape, pixels.shape
        _, rows, columns, count = pixels.shape
        pooled = _pooled(second_values).view(-1, rows - PATCH + 1, columns - PATCH + 1, count)
        return pooled.permute(3, 0, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        patches, first_values, second_patches, filters, second_values = ctx.saved_tensors
        first_shape, second_shape, pixels_shape = ctx.shapes
        slopes = _slopes(gradients[0].permute(1, 2, 3, 0), second_values)
        second = _untiled(_product(slopes, second_patches), second_shape, SECOND_TILE, BLOCK)
        of_pixels = _added_up(_product(filters[:, :-1].t(), slopes.t()), pixels_shape)
        slopes = _slopes(of_pixels, first_values)
        first = _untiled(_product(slopes, patches), first_shape, FIRST_TILE, 1)
        return None, *first, *second


def _grid(images: Tensor, tile: int) -> tuple[int, int, int]:
    """Return how many tiles of outputs go down and across each image, and how many images there are."""
    rows, columns = ((side - KERNEL + 1) // tile for side in images.shape[2:])
    return rows, columns, len(images)


def _patches(pixels: Tensor, side: int, step: int) -> Tensor:
    """Return every patch of pixels (C, h, w, N), `step` apart, as a column that ends in a 1, for the bias."""
    found = pixels.unfold(1, side, step).unfold(2, side, step).permute(0, 4, 5, 1, 2, 3)
    values = len(pixels) * side * side
    patches = pixels.new_empty(values + 1, found.numel() // values)
    patches[:-1].view(found.shape).copy_(found)
    patches[-1] = 1.0
    return patches


def _added_up(patches: Tensor, shape: torch.Size) -> Tensor:
    """Add up what patches one pixel apart, as columns, have for each pixel: (C, h, w, N)."""
    channels, rows, columns, count = shape
    high, wide = rows - PATCH + 1, columns - PATCH + 1
    parts = patches.view(channels, PATCH, PATCH, high, wide, count)
    pixels = patches.new_zeros(shape)
    for down, across in itertools.product(range(PATCH), range(PATCH)):
        pixels[:, down : down + high, across : across + wide] += parts[:, down, across]
    return pixels


def _pooled(values: Tensor) -> Tensor:
    """Return the means of four values each: (4 F, tiles) to (F, tiles)."""
    first, second, third, fourth = values.unflatten(0, (4, -1))
    return (first + second).add_(third).add_(fourth).mul_(0.25)


def _slopes(gradient: Tensor, values: Tensor) -> Tensor:
    """Return the gradient before tanh and pooling, as `values` are laid out, from that behind them."""
    quarters = values.unflatten(0, (4, -1))
    each = (0.25 * gradient).reshape(1, -1, values.shape[1]).expand_as(quarters)
    return torch.ops.aten.tanh_backward(each, quarters).reshape(values.shape)


def _product(rows: Tensor, columns: Tensor, function: Literal["none", "tanh"] = "none") -> Tensor:
    """Return rows @ columns.T, or its tanh: where it can by oneDNN, which takes half of MKL's time for these shapes."""
    if _has_onednn(rows.dtype):
        return torch.ops.mkldnn._linear_pointwise(rows, columns, None, function, [], "")
    product = rows @ columns.t()
    return product.tanh_() if function == "tanh" else product


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    return (
        dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _tiled(weight: Tensor, bias: Tensor, tile: int, block: int) -> Tensor:
    """Return filters (O, C, k, k) at every place of a tile: (a tile's outputs, a patch's inputs and the bias)."""
    places, _ = _places(*weight.shape[:2], tile, block)
    values = torch.cat([weight.flatten(), bias, bias.new_zeros(1)])
    return values.index_select(0, places.view(-1)).view(places.shape)


def _untiled(gradient: Tensor, shape: torch.Size, tile: int, block: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of the filters and of their bias from that of their matrix."""
    _, back = _places(*shape[:2], tile, block)
    values = gradient.reshape(-1).index_select(0, back).view(tile * tile, -1).sum(0)
    return values[: -shape[0]].view(shape), values[-shape[0] :]


@cache
def _places(outputs: int, inputs: int, tile: int, block: int) -> tuple[Tensor, Tensor]:
    """Return which value of the filters and their bias is where in the matrix, and where in it each is, once a place.

    Rows are ordered by place within the pooling, then by pooled place and filter; columns by place within a block, then
    by channel and block. The first names one past the last value where there is none.
    """
    count, side = outputs * inputs * KERNEL * KERNEL, tile + KERNEL - 1
    with torch.inference_mode(mode=False):
        filters = torch.arange(count).view(outputs, inputs, KERNEL, KERNEL).permute(0, 2, 3, 1)
        matrix = torch.full((tile, tile, outputs, side, side, inputs), count + outputs)
        for down, across in itertools.product(range(tile), range(tile)):
            matrix[down, across, :, down : down + KERNEL, across : across + KERNEL] = filters
        split = matrix.view(tile // 2, 2, tile // 2, 2, outputs, side // block, block, side // block, block, inputs)
        places = split.permute(1, 3, 0, 2, 4, 6, 8, 9, 5, 7).reshape(tile * tile * outputs, side * side * inputs)
        bias = torch.arange(count, count + outputs).repeat(tile * tile)
        places = torch.cat([places, bias.unsqueeze(1)], 1)
        back = places.view(-1).argsort(stable=True)[: tile * tile * (count + outputs)]
        return places, back.view(-1, tile * tile).T.reshape(-1)
