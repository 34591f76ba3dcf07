"""What is explained: a network from a model directory or by its name, and an image file as that network reads it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imaging.config import InputConfig
from imaging.data.transforms import to_square_rgb_uint8, to_square_uint8
from imaging.dicom.pixels import Limits, decode, decode_colour, sniff
from imaging.errors import NotFoundError
from imaging.models.architectures import build_model, get_architecture
from imaging.models.directory import INFO_FILE, ModelInfo, load_info, load_model
from imaging.models.preprocessing import to_input
from imaging.models.weights import initialise
from imaging.settings import Settings

LEAST_SIDE = 8
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601, as in JFIF."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explainee:
    """A network, and how an image file becomes its input."""

    model: nn.Module
    architecture: str
    weights: str
    classes: tuple[str, ...]
    info: ModelInfo | None
    """None for a published network, which answers about no class of ours."""
    input: InputConfig
    packed_size: int
    packed_channels: int
    is_radiograph: bool


def from_directory(directory: Path) -> Explainee:
    """Load a trained model.

    Raises:
        NotFoundError: the folder is no model directory.
    """
    if not (directory / INFO_FILE).is_file():
        raise NotFoundError(f"{directory} is no model directory: it holds no {INFO_FILE}")
    info = load_info(directory)
    return Explainee(
        model=load_model(directory, info),
        architecture=info.architecture,
        weights=f"{info.recipe}, from {info.initial_weights}",
        classes=info.classes,
        info=info,
        input=info.input,
        packed_size=info.packed_size,
        packed_channels=info.packed_channels,
        is_radiograph=info.subject == "radiograph",
    )


def from_name(name: str, settings: Settings) -> Explainee:
    """Build the published network for the published input, in colour."""
    known = get_architecture(name)
    config = InputConfig(size=known.size, mean=known.mean, std=known.std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(name, num_classes=2).eval()
    weights = initialise(model, name, settings, pretrained=bool(known.weights), fed=config)
    return Explainee(
        model=model,
        architecture=name,
        weights=weights,
        classes=(),
        info=None,
        input=config,
        packed_size=known.size,
        packed_channels=3,
        is_radiograph=False,
    )


def read_packed(path: Path, subject: Explainee) -> np.ndarray:
    """Return an image file as the dataset's images were packed: (S, S) or (S, S, 3) uint8.

    Raises:
        NotFoundError: no such file.
        InvalidImageError: no image that can be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"no image can be read at {path}") from error
    size = subject.packed_size
    if subject.is_radiograph or sniff(data) == "application/dicom":
        packed = to_square_uint8(decode(data).pixels, size)
        return packed if subject.packed_channels == 1 else np.repeat(packed[..., np.newaxis], 3, axis=2)
    colour = decode_colour(data, limits=Limits(min_side=LEAST_SIDE)).pixels
    if subject.packed_channels == 3:
        return to_square_rgb_uint8(colour, size)
    return to_square_uint8(colour.astype(np.float32) @ LUMINANCE / 255, size)


def as_input(packed: np.ndarray, subject: Explainee) -> Tensor:
    """Return the network's input (1, c, S, S) of a packed image."""
    return to_input(torch.from_numpy(packed.copy()).unsqueeze(0), subject.input)
