"""From a model directory or an architecture's name, and an image file, to pictures in a folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imaging import atomic
from imaging.config import InputConfig
from imaging.data.transforms import to_square_rgb_uint8, to_square_uint8
from imaging.dicom.pixels import Limits, decode, decode_colour, sniff
from imaging.errors import NotFoundError
from imaging.explain.filters import filters_png, first_layer, maps_png
from imaging.models.architectures import build_model, get_architecture
from imaging.models.directory import INFO_FILE, load_info, load_model
from imaging.models.preprocessing import to_input
from imaging.models.weights import initialise
from imaging.settings import Settings

LEAST_SIDE = 8
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601, as in JFIF."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """What was drawn of a network's first layer.

    Attributes:
        architecture: Its name.
        weights: Where they came from.
        layer: Dotted name of the first layer.
        filters: Their number, and each one's channels, rows and columns.
        maps: Number, rows and columns of the feature maps.
        files: The pictures.
    """

    architecture: str
    weights: str
    layer: str
    filters: tuple[int, ...]
    maps: tuple[int, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Subject:
    """A network, and how an image file becomes its input."""

    model: nn.Module
    architecture: str
    weights: str
    input: InputConfig
    packed_size: int
    packed_channels: int
    is_radiograph: bool


def explain_filters(source: str, image: Path, out: Path, *, settings: Settings) -> Explained:
    """Draw the first layer's filters and its feature maps of one image, as `filters.png` and `feature_maps.png`.

    Args:
        source: A model directory, or the name of an architecture, whose weights `settings` find.
        image: A PNG or JPEG of anything, or a DICOM radiograph.
        out: The folder to write to, made where absent.
        settings: `weights` and `allow_download` give weights to an architecture.

    Raises:
        NotFoundError: `source` is neither.
        InvalidImageError: the file is no image that can be read.
        ConfigurationError: the weights do not fit.
    """
    subject = _from_directory(Path(source)) if Path(source).is_dir() else _from_name(source, settings)
    layer = first_layer(subject.model, _read(image, subject))
    files = (out / "filters.png", out / "feature_maps.png")
    for path, picture in zip(files, (filters_png(layer), maps_png(layer)), strict=True):
        atomic.write_bytes(path, picture)
    return Explained(
        architecture=subject.architecture,
        weights=subject.weights,
        layer=layer.name,
        filters=layer.filters.shape,
        maps=layer.maps.shape,
        files=files,
    )


def _from_directory(directory: Path) -> _Subject:
    if not (directory / INFO_FILE).is_file():
        raise NotFoundError(f"{directory} is no model directory: it holds no {INFO_FILE}")
    info = load_info(directory)
    return _Subject(
        model=load_model(directory, info),
        architecture=info.architecture,
        weights=f"{info.recipe}, from {info.initial_weights}",
        input=info.input,
        packed_size=info.packed_size,
        packed_channels=info.packed_channels,
        is_radiograph=info.subject == "radiograph",
    )


def _from_name(name: str, settings: Settings) -> _Subject:
    """Build the published network for the published input, in colour."""
    known = get_architecture(name)
    config = InputConfig(size=known.size, mean=known.mean, std=known.std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(name, num_classes=2).eval()
    weights = initialise(model, name, settings, pretrained=bool(known.weights), fed=config)
    return _Subject(
        model=model,
        architecture=name,
        weights=weights,
        input=config,
        packed_size=known.size,
        packed_channels=3,
        is_radiograph=False,
    )


def _read(path: Path, subject: _Subject) -> Tensor:
    """Return the network's input (1, c, S, S) of an image file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"no image can be read at {path}") from error
    size = subject.packed_size
    if subject.is_radiograph or sniff(data) == "application/dicom":
        grey = decode(data).pixels
        packed = to_square_uint8(grey, size)
        packed = packed if subject.packed_channels == 1 else np.repeat(packed[..., np.newaxis], 3, axis=2)
    else:
        colour = decode_colour(data, limits=Limits(min_side=LEAST_SIDE)).pixels
        if subject.packed_channels == 3:
            packed = to_square_rgb_uint8(colour, size)
        else:
            packed = to_square_uint8(colour.astype(np.float32) @ LUMINANCE / 255, size)
    return to_input(torch.from_numpy(packed.copy()).unsqueeze(0), subject.input)
