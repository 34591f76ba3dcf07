"""LeNet-5's two convolutions, each with tanh and average pooling, as two matrix products, for training on a CPU.

A convolution of few channels leaves a CPU's arithmetic idle. Here each square tile of neighbouring outputs reads its
patch of the input as one row of a matrix, and the filters become a matrix that holds every filter at each of the
tile's places: twice the multiplications, at several times the speed. A tile's outputs are ordered so that pooling
adds up quarters of a row, and the first layer's pooled tile is what the second reads as one pixel. The weights, the
values and the gradients are those of the layers; only the order of additions differs.
"""

import itertools
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

KERNEL = 5
FIRST_TILE, SECOND_TILE = 4, 2
"""Sides of the tiles in outputs, before pooling."""
BLOCK = FIRST_TILE // 2
"""Side of the first layer's pooled tile: a pixel of the second layer, of so many times so many pixels."""
PATCH = (SECOND_TILE + KERNEL - 1) // BLOCK
"""Side in such pixels of what a tile of the second layer reads."""


def gains(images: Tensor) -> bool:
    """Say whether `tanh_pooled_twice` can have these images (N, C, h, w), and is quicker than the layers.

    They are a CPU's, nobody asks for their gradient, their side is a whole number of tiles, and arithmetic is neither
    of half precision nor a compiler's.
    """
    exact = images.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    whole = all(side % FIRST_TILE == (KERNEL - 1) % FIRST_TILE and side >= 16 for side in images.shape[2:])
    plain = not images.requires_grad and not torch.compiler.is_compiling()
    return images.device.type == "cpu" and exact and whole and plain


def tanh_pooled_twice(images: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Return avg_pool2d(tanh(second(avg_pool2d(tanh(first(images)), 2))), 2)."""
    return _TanhPooledTwice.apply(images, first.weight, first.bias, second.weight, second.bias)


class _TanhPooledTwice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, *weights: Tensor) -> Tensor:
        first, first_bias, second, second_bias = weights
        side = FIRST_TILE + KERNEL - 1
        patches = _patches(images.permute(0, 2, 3, 1), side, FIRST_TILE)
        first_values = _tanh_products(patches, _tiled(first, FIRST_TILE, side), first_bias)
        pixels = _pooled(first_values).view(*_grid(images, FIRST_TILE), -1)
        second_patches = _patches(pixels, PATCH, 1)
        filters = _tiled(second, SECOND_TILE, BLOCK)
        second_values = _tanh_products(second_patches, filters, second_bias)
        ctx.save_for_backward(patches, first_values, second_patches, filters, second_values)
        ctx.shapes = first.shape, second.shape, pixels.shape
        count, rows, columns, _ = pixels.shape
        pooled = _pooled(second_values).view(count, rows - PATCH + 1, columns - PATCH + 1, -1)
        return pooled.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        patches, first_values, second_patches, filters, second_values = ctx.saved_tensors
        first_shape, second_shape, pixels_shape = ctx.shapes
        slopes = _slopes(gradients[0].permute(0, 2, 3, 1), second_values)
        second = _untiled(_product(slopes.t(), second_patches.t()), second_shape, SECOND_TILE, BLOCK)
        second_bias = slopes.sum(0).view(-1, second_shape[0]).sum(0)
        slopes = _slopes(_added_up(_product(slopes, filters.t()), pixels_shape), first_values)
        first = _untiled(_product(patches.t(), slopes.t()).t(), first_shape, FIRST_TILE, FIRST_TILE + KERNEL - 1)
        first_bias = slopes.sum(0).view(-1, first_shape[0]).sum(0)
        return None, first, first_bias, second, second_bias


def _grid(images: Tensor, tile: int) -> tuple[int, int, int]:
    """Return how many images, and how many tiles of outputs down and across each."""
    rows, columns = ((side - KERNEL + 1) // tile for side in images.shape[2:])
    return len(images), rows, columns


def _patches(pixels: Tensor, side: int, step: int) -> Tensor:
    """Return every patch of pixels (N, h, w, C), `step` apart, as a row (patches, side side C)."""
    patches = pixels.unfold(1, side, step).unfold(2, side, step).permute(0, 1, 2, 4, 5, 3)
    return patches.reshape(-1, side * side * pixels.shape[3])


def _added_up(patches: Tensor, shape: torch.Size) -> Tensor:
    """Add up what patches one pixel apart, as rows, have for each pixel: (N, h, w, C)."""
    count, rows, columns, channels = shape
    high, wide = rows - PATCH + 1, columns - PATCH + 1
    parts = patches.view(count, high, wide, PATCH, PATCH * channels)
    strips = patches.new_zeros(count, rows, wide, PATCH * channels)
    for down in range(PATCH):
        strips[:, down : down + high] += parts[:, :, :, down]
    pixels = patches.new_zeros(shape)
    for across in range(PATCH):
        pixels[:, :, across : across + wide] += strips[..., across * channels : (across + 1) * channels]
    return pixels


def _pooled(values: Tensor) -> Tensor:
    """Return the means of four values each: (tiles, 4 F) to (tiles, F)."""
    quarters = values.unflatten(1, (4, -1))
    halves = quarters[:, :2] + quarters[:, 2:]
    return (halves[:, 0] + halves[:, 1]).mul_(0.25)


def _slopes(gradient: Tensor, values: Tensor) -> Tensor:
    """Return the gradient before tanh and pooling, as `values` are laid out, from that behind them."""
    quarters = values.unflatten(1, (4, -1))
    each = (0.25 * gradient).reshape(len(values), 1, -1).expand_as(quarters)
    return torch.ops.aten.tanh_backward(each, quarters).view_as(values)


def _tanh_products(rows: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
    """Return tanh(rows @ filters.T + bias), the bias repeated for every place of a filter."""
    bias = bias.repeat(len(filters) // len(bias))
    if _has_onednn(rows.dtype):
        return torch.ops.mkldnn._linear_pointwise(rows, filters, bias, "tanh", [], "")
    return torch.addmm(bias, rows, filters.t()).tanh_()


def _product(rows: Tensor, columns: Tensor) -> Tensor:
    """Return rows @ columns.T, where it can by oneDNN, whose products of this shape take half of MKL's time."""
    if _has_onednn(rows.dtype):
        return torch.ops.mkldnn._linear_pointwise(rows, columns, None, "none", [], "")
    return rows @ columns.t()


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    return (
        dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _tiled(weight: Tensor, tile: int, block: int) -> Tensor:
    """Return filters (O, C, k, k) as a matrix, each at every place of a tile: (a tile's outputs, a patch's inputs)."""
    places, _ = _places(*weight.shape[:2], tile, block)
    return functional.pad(weight.flatten(), (0, 1)).index_select(0, places.view(-1)).view(places.shape)


def _untiled(gradient: Tensor, shape: torch.Size, tile: int, block: int) -> Tensor:
    """Return the gradient of the filters from that of their matrix."""
    _, back = _places(*shape[:2], tile, block)
    return gradient.reshape(-1).index_select(0, back).view(tile * tile, -1).sum(0).view(shape)


@cache
def _places(outputs: int, inputs: int, tile: int, block: int) -> tuple[Tensor, Tensor]:
    """Return which value of the filters is where in the matrix, and where in it each value is, once for each place.

    Rows are ordered by place within the pooling, then by pooled place and filter; columns by block, then by place
    within it and channel. The first names one past the last value where there is none.
    """
    count, side = outputs * inputs * KERNEL * KERNEL, tile + KERNEL - 1
    with torch.inference_mode(mode=False):
        filters = torch.arange(count).view(outputs, inputs, KERNEL, KERNEL).permute(0, 2, 3, 1)
        matrix = torch.full((tile, tile, outputs, side, side, inputs), count)
        for down, across in itertools.product(range(tile), range(tile)):
            matrix[down, across, :, down : down + KERNEL, across : across + KERNEL] = filters
        split = matrix.view(tile // 2, 2, tile // 2, 2, outputs, side // block, block, side // block, block, inputs)
        places = split.permute(1, 3, 0, 2, 4, 5, 7, 6, 8, 9).reshape(tile * tile * outputs, side * side * inputs)
        back = places.view(-1).argsort(stable=True)[: tile * tile * count]
        return places, back.view(count, tile * tile).T.reshape(-1)
