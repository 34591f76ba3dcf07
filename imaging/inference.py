"""A model directory that answers: packed images to calibrated probabilities, triage, heat maps; no server in sight."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn

from imaging.allocation import kept_memory
from imaging.errors import ConfigurationError, DataError
from imaging.explain.grad_cam import heat_maps
from imaging.models.directory import ModelInfo, load_info, load_model
from imaging.models.layers import Tail, feature_depth, trunk
from imaging.models.preprocessing import to_input

BATCH = 32
"""Images in one pass: more is no faster on a CPU and costs memory."""
Explain = Literal["none", "grad-cam", "grad-cam++"]
FRONTAL_VIEWS = ("PA", "AP")
HARMLESS_WARNINGS = ("body_part_unknown", "view_unrecognised", "window_missing", "window_ignored", "voi_lut_ignored")
"""Warnings about the header; any other one is about the picture and refers it."""


class PackedImages(Protocol):
    """(N, S, S) or (N, S, S, 3) uint8: an array, or whatever gives its rows when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> "np.dtype[Any]": ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One image's answer.

    Attributes:
        prediction: The class of the highest probability.
        probabilities: Calibrated, by class name, in the model's order; they sum to 1.
        entropy_nats: Of the probabilities: 0 is certain, log(classes) knows nothing.
        decision: `report`, or `refer` to a radiologist for `reasons`.
        reasons: Rules of `triage` that held, in its order.
        heat_map: (S, S) float32 in [0, 1] for the predicted class, when asked for.
    """

    prediction: str
    probabilities: dict[str, float]
    entropy_nats: float
    decision: Literal["report", "refer"]
    reasons: tuple[str, ...]
    heat_map: np.ndarray | None = None


class Predictor:
    """A loaded model. Training's evaluation and the server both ask it, so they cannot disagree."""

    def __init__(self, model: nn.Module, info: ModelInfo, *, device: str = "cpu") -> None:
        self.info = info
        self.model = model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        depth = feature_depth(self.model)
        self._trunk = trunk(self.model, depth)
        self._tail = Tail(self.model, depth).eval()
        self._device = torch.device(device)

    @classmethod
    def load(cls, directory: Path, *, device: str = "cpu") -> Self:
        """Load a model directory.

        Raises:
            ModelPackageError: when the directory is incomplete or not valid.
        """
        info = load_info(directory)
        return cls(load_model(directory, info), info, device=device)

    def logits(self, images: PackedImages, rows: np.ndarray | None = None) -> np.ndarray:
        """Return uncalibrated logits (N, classes) float32 of packed images.

        Args:
            images: (N, S, S) uint8, or (N, S, S, 3) for a model of colour pictures. A file mapped into memory is read
                one batch at a time.
            rows: Which of them, in this order; all where absent.

        Raises:
            DataError: when the images are not packed as `info` says.
        """
        self._check(images)
        chosen = np.arange(len(images)) if rows is None else rows
        with kept_memory():
            parts = [self._forward(images[chosen[start : start + BATCH]])[1] for start in range(0, len(chosen), BATCH)]
        if not parts:
            return np.empty((0, len(self.info.classes)), dtype=np.float32)
        return torch.cat(parts).cpu().numpy()

    def probabilities(self, images: PackedImages, rows: np.ndarray | None = None) -> np.ndarray:
        """Return calibrated probabilities (N, classes) float64 of packed images, or of `rows` of them."""
        return calibrated(self.logits(images, rows), self.info.temperature)

    def predict(
        self,
        images: np.ndarray,
        *,
        views: Sequence[str] | None = None,
        warnings: Sequence[Sequence[str]] | None = None,
        explain: Explain = "none",
    ) -> list[Prediction]:
        """Answer each packed image, whatever else is in the batch.

        Args:
            images: (N, S, S) uint8, or (N, S, S, 3) for a model of colour pictures.
            views: The view of each image, "" where unknown; the rule is left out where absent, and for pictures.
            warnings: The decoder's warnings about each image's quality.
            explain: Which heat map to add; its cost is paid only when asked for.

        Raises:
            DataError: when the images are not packed as `info` says.
            ConfigurationError: for an unknown explanation, or lists of another length than the images.
        """
        self._check(images)
        if explain not in get_args(Explain):
            raise ConfigurationError(f"no explanation {explain!r}; there are: {', '.join(get_args(Explain))}")
        for name, given in (("views", views), ("warnings", warnings)):
            if given is not None and len(given) != len(images):
                raise ConfigurationError(f"{len(images)} images came with {len(given)} {name}")
        answers: list[Prediction] = []
        for start in range(0, len(images), BATCH):
            chosen = slice(start, start + BATCH)
            features, logits = self._forward(images[chosen])
            maps = None if explain == "none" else self._explain(features, logits, explain)
            rows = calibrated(logits.cpu().numpy(), self.info.temperature)
            for index, row in enumerate(rows, start):
                reasons = triage(
                    row,
                    self.info,
                    view=None if views is None else views[index],
                    warnings=() if warnings is None else warnings[index],
                )
                answers.append(_prediction(row, self.info, reasons, None if maps is None else maps[index - start]))
        return answers

    def _forward(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the last feature map and the logits of a batch."""
        with torch.no_grad():
            packed = torch.from_numpy(np.array(images)).to(self._device)  # a copy: the array may be a read-only map
            features = self._trunk(to_input(packed, self.info.input))
            return features, self._tail(features)

    def _explain(self, features: Tensor, logits: Tensor, method: Literal["grad-cam", "grad-cam++"]) -> np.ndarray:
        return heat_maps(self._tail, features, logits.argmax(1), method=method, size=self.info.packed_size)

    def _check(self, images: PackedImages) -> None:
        side, channels = self.info.packed_size, self.info.packed_channels
        expected = (side, side) if channels == 1 else (side, side, channels)
        if images.dtype == np.uint8 and images.shape[1:] == expected:
            return
        shape = ", ".join(map(str, ("N", *expected)))
        kind = "grey" if channels == 1 else "colour"
        raise DataError(
            f"expected images ({shape}) of uint8, got {images.shape} of {images.dtype}: "
            f"the model was trained on {kind} images of {side} px"
        )


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(logits / temperature) in float64, rows summing to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def triage(
    probabilities: np.ndarray, info: ModelInfo, *, view: str | None = None, warnings: Sequence[str] = ()
) -> tuple[str, ...]:
    """Name the reasons for which a radiologist has to look first; none means `report`.

    * `ambiguous_set`: a critical class reaches its operating point though another class, critical or not, is predicted.
    * `low_confidence`: the highest probability is below the confidence floor, or is no number.
    * `image_quality`: the decoder warned about the picture.
    * `view_unknown`: a view was looked for and is neither PA nor AP.

    The rules about critical classes and views are for radiographs; a picture has neither.
    """
    of_chest = info.subject == "radiograph"
    found = [
        name
        for name in info.critical_classes
        if probabilities[info.classes.index(name)] >= info.operating_points.get(name, np.inf)
    ]
    predicted = info.classes[int(probabilities.argmax())]
    rules = {
        "ambiguous_set": of_chest and any(name != predicted for name in found),
        "low_confidence": not float(probabilities.max()) >= info.confidence_floor,  # so that NaN refers
        "image_quality": any(warning not in HARMLESS_WARNINGS for warning in warnings),
        "view_unknown": of_chest and view is not None and view.upper() not in FRONTAL_VIEWS,
    }
    return tuple(name for name, holds in rules.items() if holds)


def _prediction(row: np.ndarray, info: ModelInfo, reasons: tuple[str, ...], heat_map: np.ndarray | None) -> Prediction:
    positive = row[row > 0]
    return Prediction(
        prediction=info.classes[int(row.argmax())],
        probabilities={name: float(value) for name, value in zip(info.classes, row, strict=True)},
        entropy_nats=float(-(positive * np.log(positive)).sum()) + 0.0,
        decision="refer" if reasons else "report",
        reasons=reasons,
        heat_map=heat_map,
    )
