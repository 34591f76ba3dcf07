"""What a network's first layer looks for, and what it finds in an image: its filters and feature maps, as PNG sheets.

Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", figure 3.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from imaging.errors import ConfigurationError
from imaging.models.heads import stem_name

GAP = 2
"""Pixels between two tiles."""
PAPER = 255
FILTER_TILE = 48
MAP_TILE = 96
"""Sides in pixels from which a tile is not enlarged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstLayer:
    """The layer that reads the image.

    Attributes:
        name: Dotted, within the network.
        filters: (F, c, k, k) float32, the weights.
        maps: (F, h, w) float32, what the filters give for one image, before any other layer.
    """

    name: str
    filters: np.ndarray
    maps: np.ndarray


@torch.no_grad()
def first_layer(model: nn.Module, inputs: Tensor) -> FirstLayer:
    """Look at the first convolution of a network.

    Args:
        model: From `build_model`.
        inputs: (1, c, S, S) float32, as `to_input` gives.

    Raises:
        ConfigurationError: for more than one image, or one of other channels than the network reads.
    """
    name = stem_name(model)
    layer = model.get_submodule(name)
    filters = model.get_parameter(f"{name}.weight").detach().cpu().numpy()
    if len(inputs) != 1 or inputs.shape[1] != filters.shape[1]:
        raise ConfigurationError(f"expected one image of {filters.shape[1]} channels, got {tuple(inputs.shape[:2])}")
    return FirstLayer(name=name, filters=filters, maps=layer(inputs)[0].cpu().numpy())


def filters_png(layer: FirstLayer) -> bytes:
    """Draw every filter, from its least weight (black) to its greatest; filters of three channels in colour."""
    filters = layer.filters
    if filters.shape[1] not in (1, 3):
        raise ConfigurationError(f"a filter of {filters.shape[1]} channels has no colours; it can have 1 or 3")
    tiles = _stretched(filters).transpose(0, 2, 3, 1)
    return _sheet(tiles.repeat(3, axis=3) if tiles.shape[3] == 1 else tiles, FILTER_TILE)


def maps_png(layer: FirstLayer) -> bytes:
    """Draw every feature map, from its least value (black) to its greatest (white)."""
    return _sheet(_stretched(layer.maps)[..., np.newaxis].repeat(3, axis=3), MAP_TILE)


def _stretched(values: np.ndarray) -> np.ndarray:
    """Bring each of (F, ...) to 0-255 by its own range; grey where there is none."""
    axes = tuple(range(1, values.ndim))
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    share = np.where(high > low, (values - low) / np.maximum(high - low, np.finfo(np.float32).tiny), 0.5)
    return np.rint(share * 255).astype(np.uint8)


def _sheet(tiles: np.ndarray, side: int) -> bytes:
    """Lay tiles (F, h, w, 3) out row by row, each enlarged to about `side` pixels, as a PNG."""
    enlarged = max(1, round(side / max(tiles.shape[1:3])))
    tiles = tiles.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    sheet = np.full((rows * height + GAP, columns * width + GAP, 3), PAPER, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = GAP + index // columns * height, GAP + index % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    return buffer.getvalue()
