"""From a model directory and an image file to one picture: the heat map of a class over the image, with its scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from imaging import atomic
from imaging.errors import ConfigurationError, NotFoundError
from imaging.explain.maps import MAP_METHODS, MapMethod, explain_class
from imaging.explain.overlay import overlay_png
from imaging.explain.scale import with_scale
from imaging.explain.subject import as_input, from_directory, read_packed
from imaging.models.calibration_map import calibrated

SHOWN_SIDE = 448
"""Pixels; a smaller image is enlarged by a whole number to at most this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnMap:
    """What was drawn.

    Attributes:
        architecture: The network's.
        method: One of `MAP_METHODS`.
        explained: The class whose evidence is shown.
        prediction: The most probable class.
        probabilities: Calibrated, by class.
        file: The picture.
    """

    architecture: str
    method: str
    explained: str
    prediction: str
    probabilities: dict[str, float]
    file: Path


def explain_map(
    directory: Path, image: Path, out: Path, *, method: MapMethod = "grad-cam", of_class: str = ""
) -> DrawnMap:
    """Draw where the evidence for a class lies in an image.

    Args:
        directory: A model directory.
        image: A DICOM radiograph, PNG or JPEG.
        out: The PNG to write.
        method: One of `MAP_METHODS`.
        of_class: The class to explain; the most probable one where empty.

    Raises:
        NotFoundError: no model directory, no image, or no such class.
        ConfigurationError: no such method, or one that this network does not allow; the message says which do.
        InvalidImageError: the file is no image that can be read.
    """
    if method not in MAP_METHODS:
        raise ConfigurationError(f"no explanation {method!r}; there are: {', '.join(MAP_METHODS)}")
    subject = from_directory(directory)
    if of_class and of_class not in subject.classes:
        raise NotFoundError(f"no class {of_class!r}; the model's are: {', '.join(subject.classes)}")
    packed = read_packed(image, subject)
    inputs = as_input(packed, subject)
    with torch.no_grad():
        logits = subject.model(inputs).numpy()
    row = (calibrated(logits) if subject.info is None else subject.info.calibrated(logits))[0].tolist()
    prediction = subject.classes[int(np.argmax(row))]
    explained = of_class or prediction
    target = torch.tensor([subject.classes.index(explained)])
    heat = explain_class(subject.model, inputs, target, method=method, size=subject.packed_size)[0]
    times = max(1, SHOWN_SIDE // packed.shape[0])
    shown = packed.repeat(times, axis=0).repeat(times, axis=1)
    atomic.write_bytes(out, with_scale(overlay_png(shown, heat)))
    return DrawnMap(
        architecture=subject.architecture,
        method=method,
        explained=explained,
        prediction=prediction,
        probabilities=dict(zip(subject.classes, row, strict=True)),
        file=out,
    )
