"""The training loop, from stages to epochs; it yields after each epoch and leaves files to the caller."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from imaging.allocation import kept_memory
from imaging.config import Stage, TrainConfig
from imaging.errors import DataError, EmptyDatasetError
from imaging.training.average import WeightAverage
from imaging.training.batches import PackedImages, place
from imaging.training.features import FrozenFeatures, Look
from imaging.training.loop import OnProgress, StageLoop
from imaging.training.losses import class_weights
from imaging.training.numerics import algorithms, autocast
from imaging.training.optimizers import OptimizerState
from imaging.training.results import EpochResult, is_better
from imaging.training.share import ALONE, World
from imaging.training.stages import frozen_depth, shared_depth


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """Packed images and labels (n,) int64 of the two parts that training may see."""

    classes: tuple[str, ...]
    train_images: PackedImages
    train_labels: Tensor
    val_images: PackedImages
    val_labels: Tensor

    def check(self) -> None:
        """Refuse parts that cannot be trained on.

        Raises:
            EmptyDatasetError: when a class has no training image, or nothing is left for validation.
            DataError: when a label is not a class.
        """
        counts = torch.bincount(self.train_labels, minlength=len(self.classes)).tolist()
        if len(counts) > len(self.classes) or int(self.val_labels.amax() if len(self.val_labels) else 0) >= len(counts):
            raise DataError(f"labels go beyond the {len(self.classes)} classes {', '.join(self.classes)}")
        absent = [name for name, count in zip(self.classes, counts, strict=True) if not count]
        if absent:
            raise EmptyDatasetError(f"no training image of {', '.join(absent)}; every class needs some")
        if not len(self.val_labels):
            raise EmptyDatasetError("no validation image; the best epoch is chosen by them")


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedStage:
    """What a checkpoint kept of a stage that was under way."""

    optimizer: OptimizerState
    scaler: dict[str, float]
    average: list[Tensor]
    average_steps: int


@dataclass(kw_only=True)
class TrainingRun:
    """A run and how far it is: everything that a checkpoint has to hold."""

    model: nn.Module
    config: TrainConfig
    stages: tuple[Stage, ...]
    data: TrainingData
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    world: World = ALONE
    stage_index: int = 0
    stage_epoch: int = 0
    """Epochs of this stage that are done."""
    history: list[EpochResult] = field(default_factory=list)
    best: EpochResult | None = None
    best_state: dict[str, Tensor] = field(default_factory=dict)
    optimizer: torch.optim.Optimizer | None = None
    scaler: torch.amp.GradScaler | None = None
    average: WeightAverage | None = None
    saved: SavedStage | None = None
    """From a checkpoint, until the stage goes on."""
    told_at: float = 0.0
    """When progress was last told, by the monotonic clock."""

    def record(self, result: EpochResult) -> EpochResult:
        """Take an epoch's result in, and the weights it was measured with where it is the best so far."""
        self.stage_epoch += 1
        self.history.append(result)
        if is_better(result, self.best, self.config.monitor):
            self.best = result
            self.best_state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return result

    def stage_figures(self) -> list[float]:
        """Return what this stage's epochs gave for the recipe's `monitor`, made so that less is better."""
        sign = 1.0 if self.config.monitor == "val_loss" else -1.0
        of_stage = [result for result in self.history if result.stage_index == self.stage_index]
        return [sign * float(getattr(result, self.config.monitor)) for result in of_stage]

    def stage_is_over(self) -> bool:
        """Say whether the stage has had its epochs, or its patience ended."""
        figures = self.stage_figures()
        waited = len(figures) - 1 - figures.index(min(figures)) if figures else 0
        return self.stage_epoch >= self.stages[self.stage_index].epochs or waited >= self.config.patience

    def next_stage(self) -> None:
        """Go on from the best weights so far."""
        self.model.load_state_dict(self.best_state)
        self.stage_index, self.stage_epoch = self.stage_index + 1, 0
        self.optimizer, self.scaler, self.average, self.saved = None, None, None, None

    def epoch_seed(self) -> int:
        """Return the coming epoch's own seed, so that a resumed run draws the same numbers."""
        return _seed(self.config.seed, self.stage_index, self.stage_epoch)

    def look(self, stage: Stage) -> Look:
        """Return how a stage looks at the training images; stages that augment alike share their views."""
        if not stage.augment:
            return Look()
        return Look(changes=self.config.augment, views=stage.views, seed=_seed(self.config.seed, -1, -1))


def train(
    run: TrainingRun, *, on_progress: OnProgress | None = None, resident_bytes: int | None = None
) -> Iterator[EpochResult]:
    """Train until the last stage is over; afterwards the model holds the best epoch's weights.

    Args:
        run: A new run, or one restored from a checkpoint, which goes on as if it had never stopped.
        on_progress: Told a few times a second how far the epoch is.
        resident_bytes: Images up to so many bytes are kept on the device; larger parts are read from disk as
            they are needed. Half of a GPU's free memory or a quarter of the machine's where absent.

    Yields:
        Each epoch's result, when `run` is consistent and may be saved.

    Raises:
        EmptyDatasetError: when the data cannot be trained on.
        TrainingDivergedError: when a loss is not finite. TrainingMemoryError: when a batch does not fit.
    """
    data, config, device = run.data, run.config, run.device
    data.check()
    run.model = run.world.share_norms(run.model)
    run.model.to(device).to(memory_format=torch.channels_last)
    images, val_images = place([data.train_images, data.val_images], device, limit_bytes=resident_bytes)
    seen, seen_val = (
        FrozenFeatures(run.model, part, config.input, device=device, precision=lambda: autocast(device, config))
        for part in (images, val_images)
    )
    weights = class_weights(data.train_labels, len(data.classes), config)
    weights = None if weights is None else weights.to(device)
    depths = [frozen_depth(run.model, config.architecture, stage) for stage in run.stages]

    with algorithms(device, config), kept_memory():
        while run.stage_index < len(run.stages):
            if not run.stage_is_over():
                _look(run, seen, seen_val, depths=depths[run.stage_index :])
                depth = depths[run.stage_index]
                loop = StageLoop(run, seen, seen_val, weights=weights, depth=depth, on_progress=on_progress)
            while not run.stage_is_over():
                yield _epoch(run, loop)
            run.next_stage()


def _look(run: TrainingRun, seen: FrozenFeatures, seen_val: FrozenFeatures, *, depths: list[int]) -> None:
    """Let both parts be seen through the stage's frozen blocks, kept where they cannot change.

    Args:
        run: At the stage.
        seen: The training images.
        seen_val: The validation images.
        depths: How many blocks are frozen in this stage and in each that follows.
    """
    looks = [run.look(stage) for stage in run.stages[run.stage_index :]]
    same = next((place for place, look in enumerate(looks) if look != looks[0]), len(looks))
    plain = Look()
    if depths[0] == 0:
        seen.forget()
        seen_val.forget()
    else:
        seen.keep(shared_depth(depths[:same]), looks[0])
        seen_val.keep(shared_depth(depths), plain)
    seen.start_stage(depths[0], looks[0])
    seen_val.start_stage(depths[0], plain)


def _epoch(run: TrainingRun, loop: StageLoop) -> EpochResult:
    """Train and validate once, and record it."""
    started = time.perf_counter()
    figures = loop.train_epoch()
    with loop.measured_weights():
        figures |= loop.validate()
        result = EpochResult(
            epoch=len(run.history) + 1,
            stage_index=run.stage_index,
            stage=loop.stage.name,
            lr=loop.end_rate(),
            seconds=time.perf_counter() - started,
            **figures,
        )
        return run.record(result)


def _seed(seed: int, stage_index: int, epoch: int) -> int:
    digest = hashlib.sha256(f"{seed}/{stage_index}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
