"""One stage of a run, epoch by epoch and step by step."""

import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from imaging.models.layers import Tail
from imaging.training.average import WeightAverage
from imaging.training.batches import Plan
from imaging.training.features import FrozenFeatures
from imaging.training.losses import summed_loss
from imaging.training.numerics import autocast, grad_scaler
from imaging.training.optimizers import build_optimizer, restore_optimizer_state, set_rate
from imaging.training.results import Progress, validation_figures
from imaging.training.sampling import epoch_order, global_batches
from imaging.training.stages import check_batch_norm, freeze, rate_factor, training_mode
from imaging.training.watch import LossWatch, check_validation_loss, memory_advice

if TYPE_CHECKING:
    from imaging.training.engine import TrainingRun

OnProgress = Callable[[Progress], None]
PROGRESS_EVERY_S = 0.25
VALIDATION_BATCHES, MOST_AT_ONCE = 4, 256
"""Without gradients so many batches need no more memory than one with; and images validated at once, at most."""


class StageLoop:
    """What learns in a stage, its optimizer, and the images as they look behind what does not learn.

    Args:
        run: At the beginning of the stage, or within it where a checkpoint left it.
        seen: The training images.
        seen_val: The validation images.
        weights: Of the classes.
        depth: How many blocks are frozen.
        on_progress: Told a few times a second how far the epoch is.
    """

    def __init__(
        self,
        run: "TrainingRun",
        seen: FrozenFeatures,
        seen_val: FrozenFeatures,
        *,
        weights: Tensor | None,
        depth: int,
        on_progress: OnProgress | None,
    ) -> None:
        self.run, self.stage, self.config = run, run.stages[run.stage_index], run.config
        self.seen, self.seen_val, self.weights, self.depth = seen, seen_val, weights, depth
        self.on_progress = on_progress
        self.figures = run.stage_figures()
        self.changes = self.config.augment if self.stage.augment else None
        self.labels = run.data.train_labels.to(run.device)
        self.val_labels = run.data.val_labels.to(run.device)
        freeze(run.model, depth)
        self.optimizer = run.optimizer = build_optimizer(run.model, self.stage)
        self.scaler = run.scaler = grad_scaler(run.device, self.config)
        run.average = WeightAverage(run.model, self.config.ema_decay) if self.config.ema_decay else None
        if run.saved is not None:
            restore_optimizer_state(self.optimizer, run.saved.optimizer)
            self.scaler.load_state_dict(run.saved.scaler)
            if run.average is not None:
                run.average.restore(run.saved.average, run.saved.average_steps)
            run.saved = None
        whole = run.model if depth == 0 else Tail(run.model, depth)  # the model itself has auxiliary heads
        self.network = whole
        self.learner = run.world.wrap(whole, run.device)
        if self.config.compile != "none":
            self.learner = torch.compile(self.learner, mode=self.config.compile, dynamic=False)  # type: ignore[assignment]

    def train_epoch(self) -> dict[str, float]:
        """Take one step for each batch; all randomness comes from the run's seed.

        Returns:
            The figures of `EpochResult` about training.

        Raises:
            TrainingDivergedError: a loss is not finite. TrainingMemoryError: a batch does not fit.
        """
        run, seed = self.run, self.run.epoch_seed()
        self.figures = run.stage_figures()
        generator = torch.Generator().manual_seed(seed)
        order = epoch_order(
            run.data.train_labels, classes=len(run.data.classes), config=self.config, generator=generator
        )
        batches = global_batches(order, self.config.batch_size, drop_last=self.config.compile != "none")
        plan = Plan.of(batches, run.device, run.world)
        training_mode(run.model, self.depth)
        check_batch_norm(run.model, min(plan.totals))
        watch = LossWatch(run.device, lambda step: self._describe(step, len(batches), batches[step]))
        correct = torch.zeros((), device=run.device, dtype=torch.int64)
        started, waited, done = time.perf_counter(), self.seen.waited_s, 0
        features = self.seen.batches(plan, changes=self.changes, generator=generator)
        with (
            _own_random_numbers(run.device, seed + run.world.rank),
            memory_advice(self.config.batch_size, self._attempt),
        ):
            for step, values in enumerate(features):
                correct += self._step(values, self.labels[plan.on_device[step]], self._rate(step / len(batches)), watch)
                done += plan.totals[step]
                self._tell(step, len(batches), watch, done / (time.perf_counter() - started))
        loss = watch.look()
        seconds = time.perf_counter() - started
        return {
            "train_loss": loss,
            "train_accuracy": float(run.world.sum(correct)) / max(1, done),
            "images_per_s": done / seconds,
            "data_share": min(1.0, (self.seen.waited_s - waited) / seconds),
        }

    def _step(self, values: Tensor, labels: Tensor, rate: float, watch: LossWatch) -> Tensor:
        """Learn from one batch; return how many of its images were right before."""
        run, optimizer, scaler = self.run, self.optimizer, self.scaler
        set_rate(optimizer, rate)
        with autocast(run.device, self.config):
            outputs = self.learner(values)
        total, normaliser = summed_loss(outputs, labels, self.config, self.weights)
        whole, whole_normaliser = run.world.sum(torch.stack([total.detach(), normaliser]))
        watch.add(whole, whole_normaliser)
        # the processes' gradients are averaged, and should be summed
        scaler.scale(total * (run.world.size / whole_normaliser)).backward()
        if self.config.clip_norm:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if run.average is not None:
            run.average.update()
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return (logits.detach().argmax(1) == labels).sum()

    def validate(self) -> dict[str, float]:
        """Return the figures of `EpochResult` about validation.

        Raises:
            TrainingDivergedError: the loss is not finite.
        """
        run = self.run
        run.model.eval()
        size = min(MOST_AT_ONCE, VALIDATION_BATCHES * self.config.batch_size)
        plan = Plan.in_order(len(self.val_labels), size, run.device, run.world)
        with torch.no_grad(), autocast(run.device, self.config):
            logits = torch.cat(
                [
                    run.world.join(self.network(values).float(), total)
                    for values, total in zip(self.seen_val.batches(plan), plan.totals, strict=True)
                ]
            )
        plain = self.config.model_copy(update={"label_smoothing": 0.0})
        total, normaliser = summed_loss(logits, self.val_labels, plain, self.weights)
        loss = float(total / normaliser)
        check_validation_loss(loss, self.stage.name, run.stage_epoch + 1)
        return run.world.agreed(validation_figures(logits, self.val_labels, loss))

    def measured_weights(self) -> contextlib.AbstractContextManager[None]:
        """Let the network have the weights that are validated and kept: the moving average, if there is one."""
        return contextlib.nullcontext() if self.run.average is None else self.run.average.applied()

    def _rate(self, progress: float) -> float:
        """Return the share of the full rate at `progress` (0-1) of this epoch."""
        return rate_factor(self.stage, (self.run.stage_epoch + progress) / self.stage.epochs, self.figures)

    def end_rate(self) -> float:
        """Return the head's rate at the end of the epoch."""
        return self.stage.lr * self._rate(1.0)

    def _describe(self, step: int, steps: int, places: Tensor) -> str:
        """Say of a step where it is, and what was in it."""
        rows = self.run.data.train_images.rows[places.numpy()[:8]].tolist()
        more = f" and {len(places) - len(rows)} more" if len(places) > len(rows) else ""
        return (
            f"in step {step + 1} of {steps}, in epoch {self.run.stage_epoch + 1} of stage {self.stage.name!r}, "
            f"at a learning rate of {self.stage.lr * self._rate(step / steps):.3g}, on the dataset's images "
            f"{', '.join(map(str, rows))}{more}; a lower learning rate would help"
        )

    def _tell(self, step: int, steps: int, watch: LossWatch, images_per_s: float) -> None:
        now = time.monotonic()
        if self.on_progress is None or (now - self.run.told_at < PROGRESS_EVERY_S and step + 1 < steps):
            return
        self.run.told_at = now
        self.on_progress(
            Progress(
                epoch=len(self.run.history) + 1,
                epochs=sum(stage.epochs for stage in self.run.stages),
                stage=self.stage.name,
                step=step + 1,
                steps=steps,
                loss=watch.look(),
                images_per_s=images_per_s,
            )
        )

    def _attempt(self, size: int) -> None:
        """Run this process's share of a step of `size` images forward and back, and leave every weight as it is."""
        self.learner = self.network  # the other processes wait in the step that failed
        self.run.model.zero_grad(set_to_none=True)
        size = min(-(-size // self.run.world.size), len(self.labels))
        plan = Plan.in_order(size, size, self.run.device)
        generator = torch.Generator().manual_seed(0)
        (values,) = islice(self.seen.batches(plan, changes=self.changes, generator=generator), 1)
        with self.run.world.apart(self.run.model), autocast(self.run.device, self.config):
            outputs = self.network(values)
        total, normaliser = summed_loss(outputs, self.labels[plan.on_device[0]], self.config, self.weights)
        (total / normaliser).backward()
        self.run.model.zero_grad(set_to_none=True)


@contextlib.contextmanager
def _own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Let dropout draw from `seed`, and the world's random numbers be as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
