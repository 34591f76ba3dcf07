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
from imaging.models.ensemble import Combine
from imaging.models.layers import Tail, feature_depth, trunk
from imaging.models.mc_dropout import (
    PASSES,
    SEED,
    entropy_nats,
    has_dropout,
    mutual_information_nats,
    thinned_logits,
)
from imaging.models.novelty import NoveltyReference
from imaging.models.prediction_set import prediction_set
from imaging.models.preprocessing import to_input
from imaging.models.runtimes import Eager, Passed, Runtime
from imaging.models.runtimes.choice import Wanted, choose_runtime
from imaging.models.triage import triage

BATCH = 32
"""Images in one pass: more is no faster on a CPU and costs memory."""
Explain = Literal["none", "grad-cam", "grad-cam++"]


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
        prediction_set: Classes that the conformal rule cannot rule out, most probable first; empty without a rule.
        mutual_information_nats: Between the answer and which member of an ensemble, else which part of the head, gave
            it; `None` where there is one network whose head has no dropout.
        novelty: How unlike the training images it is, about 1 for one of them; `None` where the model cannot tell.
        embedding: Its coordinates by `NoveltyReference.project`; empty where the model cannot tell.
        heat_map: (S, S) float32 in [0, 1] for the predicted class, when asked for.
    """

    prediction: str
    probabilities: dict[str, float]
    entropy_nats: float
    decision: Literal["report", "refer"]
    reasons: tuple[str, ...]
    prediction_set: tuple[str, ...] = ()
    mutual_information_nats: float | None = None
    novelty: float | None = None
    embedding: tuple[float, ...] = ()
    heat_map: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the features of N images say beside their probabilities.

    Attributes:
        probabilities: (N, C) calibrated.
        novelty: (N,) distance from the training images, where the model holds a reference.
        mutual_information_nats: (N,) by an ensemble's members, else by dropout of the head, where it has any.
        embedding: (N, D) coordinates among the training images, where the model holds a reference.
    """

    probabilities: np.ndarray
    novelty: np.ndarray | None
    mutual_information_nats: np.ndarray | None
    embedding: np.ndarray | None = None


class Predictor:
    """A loaded model. Training's evaluation and the server both ask it, so they cannot disagree."""

    def __init__(
        self, model: nn.Module, info: ModelInfo, *, device: str = "cpu", reference: NoveltyReference | None = None
    ) -> None:
        self.info = info
        self._reference = reference
        self.model = model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        depth = feature_depth(self.model)
        self._tail = Tail(self.model, depth).eval()
        self._device = torch.device(device)
        self._torch = Eager(trunk=trunk(self.model, depth), tail=self._tail, device=self._device)
        self.runtime: Runtime = self._torch

    @classmethod
    def load(cls, directory: Path, *, device: str = "cpu", runtime: Wanted = "torch") -> Self:
        """Load a model directory.

        Args:
            directory: The model directory.
            device: Where it runs.
            runtime: How; `auto` measures.

        Raises:
            ModelPackageError: when the directory is incomplete or not valid, or lacks what the runtime needs.
            ConfigurationError: for a runtime that there is not, or not for this device.
        """
        info = load_info(directory)
        reference = None if info.out_of_distribution is None else NoveltyReference.load(directory)
        loaded = cls(load_model(directory, info), info, device=device, reference=reference)
        with kept_memory():
            loaded.runtime = choose_runtime(runtime, loaded._torch, directory, config=info.input).runtime
        return loaded

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
            starts = range(0, len(chosen), BATCH)
            parts = [self._forward(images[chosen[start : start + BATCH]]).logits for start in starts]
        if not parts:
            return np.empty((0, len(self.info.classes)), dtype=np.float32)
        return torch.cat(parts).cpu().numpy()

    def probabilities(self, images: PackedImages, rows: np.ndarray | None = None) -> np.ndarray:
        """Return calibrated probabilities (N, classes) float64 of packed images, or of `rows` of them."""
        return self.info.calibrated(self.logits(images, rows))

    def embeddings(self, images: PackedImages, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C), as `logits` does, and what `NoveltyReference` reads of the images (N, F) float32."""
        self._check(images)
        logits, embedded = [], []
        with kept_memory():
            for start in range(0, len(rows), BATCH):
                seen = self._forward(images[rows[start : start + BATCH]])
                logits.append(seen.logits)
                embedded.append(self._tail.embed(seen.last))
        return torch.cat(logits).cpu().numpy(), torch.cat(embedded).cpu().numpy()

    def doubt(
        self, images: PackedImages, rows: np.ndarray | None = None, *, passes: int = PASSES, seed: int = SEED
    ) -> Doubt:
        """Say how sure the model is of each image.

        Args:
            images: As for `logits`.
            rows: As for `logits`.
            passes: Thinned heads to ask.
            seed: Of what they drop.
        """
        self._check(images)
        chosen = np.arange(len(images)) if rows is None else rows
        with kept_memory():
            found = [
                self._doubt(self._forward(images[chosen[start : start + BATCH]]), passes, seed)
                for start in range(0, len(chosen), BATCH)
            ]
        novelty = [one.novelty for one in found if one.novelty is not None]
        between = [one.mutual_information_nats for one in found if one.mutual_information_nats is not None]
        return Doubt(
            probabilities=np.concatenate([one.probabilities for one in found]),
            novelty=np.concatenate(novelty) if novelty else None,
            mutual_information_nats=np.concatenate(between) if between else None,
        )

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
            seen = self._forward(images[chosen])
            doubt = self._doubt(seen, PASSES, SEED)
            maps = None if explain == "none" else self._explain(seen.features, doubt.probabilities, explain)
            for offset in range(len(doubt.probabilities)):
                known = {
                    "view": None if views is None else views[start + offset],
                    "warnings": () if warnings is None else warnings[start + offset],
                }
                answers.append(_prediction(doubt, offset, self.info, known, None if maps is None else maps[offset]))
        return answers

    def _doubt(self, seen: Passed, passes: int, seed: int) -> Doubt:
        novelty = between = embedding = None
        probabilities = self.info.calibrated(seen.logits.cpu().numpy())
        if self._reference is not None:
            embedded = self._tail.embed(seen.last).cpu().numpy()
            novelty, embedding = self._reference.score(embedded), self._reference.project(embedded)
        voices = self._voices(seen.last, passes, seed)
        if voices is not None:
            between = mutual_information_nats(np.stack([self.info.calibrated(one) for one in voices]))
            if self.info.members > 1:  # calibrated one by one, their mean is not quite the answer
                between = np.minimum(between, entropy_nats(probabilities))
        return Doubt(probabilities, novelty, between, embedding)

    @torch.no_grad()
    def _voices(self, last: Tensor, passes: int, seed: int) -> np.ndarray | None:
        """Return the logits (voices, N, C) of an ensemble's members, else of thinned heads; `None` of one voice."""
        head = self._tail.head
        inputs = self._tail.pooling(last) if last.ndim > 2 else last
        if isinstance(head, Combine):
            return head.each(inputs).cpu().numpy()
        return thinned_logits(head, inputs, passes=passes, seed=seed).cpu().numpy() if has_dropout(head) else None

    def _forward(self, images: np.ndarray) -> Passed:
        """Run a batch."""
        packed = torch.from_numpy(np.array(images)).to(self._device)  # a copy: the array may be a read-only map
        return self.runtime.run(to_input(packed, self.info.input))

    def _explain(
        self, features: Tensor, probabilities: np.ndarray, method: Literal["grad-cam", "grad-cam++"]
    ) -> np.ndarray:
        answered = torch.from_numpy(probabilities.argmax(axis=1)).to(self._device)
        return heat_maps(self._tail, features, answered, method=method, size=self.info.packed_size)

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


def _prediction(
    doubt: Doubt, index: int, info: ModelInfo, known: dict[str, Any], heat_map: np.ndarray | None
) -> Prediction:
    """Compose the answer of one image of a batch; `known` is its view and the decoder's warnings."""
    row = doubt.probabilities[index]
    novelty = None if doubt.novelty is None else float(doubt.novelty[index])
    between = None if doubt.mutual_information_nats is None else float(doubt.mutual_information_nats[index])
    reasons = triage(row, info, novelty=novelty, **known)
    return Prediction(
        prediction=info.classes[int(row.argmax())],
        probabilities={name: float(value) for name, value in zip(info.classes, row, strict=True)},
        entropy_nats=float(entropy_nats(row)),
        decision="refer" if reasons else "report",
        reasons=reasons,
        prediction_set=() if info.conformal is None else prediction_set(row, info.classes, info.conformal),
        mutual_information_nats=between,
        novelty=novelty,
        embedding=() if doubt.embedding is None else tuple(doubt.embedding[index].tolist()),
        heat_map=heat_map,
    )
