"""The training loop, from stages to epochs to batches; it yields after each epoch and leaves files to the caller."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.config import Stage, TrainConfig
from imaging.errors import DataError, EmptyDatasetError, TrainingDivergedError
from imaging.models.layers import Tail
from imaging.training.features import FrozenFeatures
from imaging.training.optimizers import (
    OptimizerState,
    build_optimizer,
    restore_optimizer_state,
    set_rate,
)
from imaging.training.results import EpochResult, validation_figures
from imaging.training.stages import freeze, frozen_depth, rate_factor, shared_depth, training_mode


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """Packed images (N, S, S) uint8 and labels (N,) int64 of the two parts that training may see."""

    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
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


@dataclass(kw_only=True)
class TrainingRun:
    """A run and how far it is: everything that a checkpoint has to hold."""

    model: nn.Module
    config: TrainConfig
    stages: tuple[Stage, ...]
    data: TrainingData
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    stage_index: int = 0
    stage_epoch: int = 0
    """Epochs of this stage that are done."""
    history: list[EpochResult] = field(default_factory=list)
    best: EpochResult | None = None
    best_state: dict[str, Tensor] = field(default_factory=dict)
    optimizer: torch.optim.Optimizer | None = None
    saved_optimizer_state: OptimizerState | None = None
    """From a checkpoint, until the stage goes on."""

    def record(self, result: EpochResult) -> EpochResult:
        """Take an epoch's result in, and its weights where it is the best so far."""
        self.stage_epoch += 1
        self.history.append(result)
        if self.best is None or result.val_loss < self.best.val_loss:
            self.best = result
            self.best_state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return result

    def stage_is_over(self) -> bool:
        """Say whether the stage has had its epochs, or its patience ended."""
        losses = [result.val_loss for result in self.history if result.stage_index == self.stage_index]
        waited = len(losses) - 1 - losses.index(min(losses)) if losses else 0
        return self.stage_epoch >= self.stages[self.stage_index].epochs or waited >= self.config.patience

    def next_stage(self) -> None:
        """Go on from the best weights so far."""
        self.model.load_state_dict(self.best_state)
        self.stage_index, self.stage_epoch = self.stage_index + 1, 0
        self.optimizer, self.saved_optimizer_state = None, None


def train(run: TrainingRun) -> Iterator[EpochResult]:
    """Train until the last stage is over; afterwards the model holds the best epoch's weights.

    Args:
        run: A new run, or one restored from a checkpoint, which goes on as if it had never stopped.

    Yields:
        Each epoch's result, when `run` is consistent and may be saved.

    Raises:
        EmptyDatasetError: when the data cannot be trained on.
        TrainingDivergedError: when a loss is not finite.
    """
    data, config, device = run.data, run.config, run.device
    data.check()
    run.model.to(device).to(memory_format=torch.channels_last)
    labels, val_labels = data.train_labels.to(device), data.val_labels.to(device)
    weights = _class_weights(labels, len(data.classes)) if config.class_weights else None
    seen = FrozenFeatures(run.model, data.train_images.to(device), config.input)
    seen_val = FrozenFeatures(run.model, data.val_images.to(device), config.input)
    depths = [frozen_depth(run.model, config.architecture, stage) for stage in run.stages]

    while run.stage_index < len(run.stages):
        stage, depth = run.stages[run.stage_index], depths[run.stage_index]
        if not run.stage_is_over():
            shared = shared_depth(depths[run.stage_index :])
            for features, fixed in ((seen, not stage.augment), (seen_val, True)):
                if depth == 0:
                    features.forget()
                elif fixed:
                    features.keep(shared)
                features.start_stage(depth, fixed=fixed)
            freeze(run.model, depth)
            tail = Tail(run.model, depth)
            run.optimizer = build_optimizer(run.model, stage)
            if run.saved_optimizer_state is not None:
                restore_optimizer_state(run.optimizer, run.saved_optimizer_state)
                run.saved_optimizer_state = None
        while not run.stage_is_over():
            started = time.perf_counter()
            training_mode(run.model, depth)
            loss = _train_epoch(run, tail, seen, labels, weights)
            run.model.eval()
            figures = validation_figures(_logits(tail, seen_val, len(val_labels)), val_labels, weights)
            _check_finite(loss, figures["val_loss"], stage.name, run.stage_epoch + 1)
            yield run.record(_result(run, loss, figures, time.perf_counter() - started))
        run.next_stage()


def _train_epoch(run: TrainingRun, tail: Tail, seen: FrozenFeatures, labels: Tensor, weights: Tensor | None) -> float:
    """Take one step for each batch and return the mean loss; all randomness comes from the run's seed."""
    stage, optimizer, count = run.stages[run.stage_index], run.optimizer, len(labels)
    if optimizer is None:
        raise DataError("a stage has to be started before its epochs")
    seed = _seed(run.config.seed, run.stage_index, run.stage_epoch)
    generator = torch.Generator().manual_seed(seed)
    steps = -(-count // run.config.batch_size)
    total = torch.zeros((), device=run.device)
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout
        for step, members in enumerate(torch.randperm(count, generator=generator).tensor_split(steps)):
            chosen = members.to(run.device)
            set_rate(optimizer, rate_factor(stage.schedule, (run.stage_epoch + step / steps) / stage.epochs))
            changes = run.config.augment if stage.augment else None
            features = seen.batch(chosen, changes=changes, generator=generator)
            smoothing = run.config.label_smoothing
            loss = functional.cross_entropy(tail(features), labels[chosen], weight=weights, label_smoothing=smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(chosen)
    return float(total) / count


@torch.no_grad()
def _logits(tail: Tail, features: FrozenFeatures, count: int) -> Tensor:
    return torch.cat([tail(features.batch(chosen)) for chosen in torch.arange(count).split(64)])


def _class_weights(labels: Tensor, classes: int) -> Tensor:
    """Return the inverse of each class's frequency, 1 on average."""
    inverse = 1.0 / torch.bincount(labels, minlength=classes).float()
    return inverse / inverse.mean()


def _seed(seed: int, stage_index: int, epoch: int) -> int:
    """Derive an epoch's own seed, so that a resumed run draws the same numbers."""
    digest = hashlib.sha256(f"{seed}/{stage_index}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _check_finite(train_loss: float, val_loss: float, stage: str, epoch: int) -> None:
    for part, loss in (("training", train_loss), ("validation", val_loss)):
        if not torch.isfinite(torch.tensor(loss)):
            raise TrainingDivergedError(
                f"the {part} loss is {loss} in epoch {epoch} of stage {stage!r}; a lower learning rate would help"
            )


def _result(run: TrainingRun, train_loss: float, figures: dict[str, float], seconds: float) -> EpochResult:
    stage = run.stages[run.stage_index]
    return EpochResult(
        epoch=len(run.history) + 1,
        stage_index=run.stage_index,
        stage=stage.name,
        train_loss=train_loss,
        lr=stage.lr * rate_factor(stage.schedule, (run.stage_epoch + 1) / stage.epochs),
        seconds=seconds,
        **figures,
    )
