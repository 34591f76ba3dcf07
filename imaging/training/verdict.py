"""Did a run over- or under-fit? A plain rule over the history, and the figures it was decided by.

The two losses are never compared with each other: augmentation, dropout, label smoothing and class weights make the
training loss another quantity than the validation loss, and it is averaged while the weights still move. Each curve
is compared with its own past.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

from imaging.config import Frozen
from imaging.training.results import EpochResult

POINTS = 3
"""Validation losses that a direction needs, one of an earlier stage included."""
WIDEST = 5
"""Epochs that are averaged at most: a quarter of a stage, so that the luckiest epoch of many is no yardstick."""
RISE = 0.10
GAIN = 0.05
LEAST_NATS = 0.01
"""Changes below this are noise, however large they are beside a loss near 0."""

RULE = (
    "the last stage is judged, beside the weights it began with, each loss against its own past only, as means of a "
    f"quarter of a stage's epochs, at most {WIDEST}; over-fitting: the validation loss ends, 2 epochs or more after "
    f"its lowest, {RISE:.0%} above it while the training loss fell by {GAIN:.0%}; under-fitting: the validation loss "
    f"ends at its lowest and the last third of the epochs lowered it by {GAIN:.0%}, or the training accuracy is less "
    f"than half of the way from chance to 1; changes below {LEAST_NATS} nats do not count, and fewer than {POINTS} "
    "losses decide nothing"
)


class Verdict(Frozen):
    """What is said of a run, why, and by which rule."""

    verdict: Literal["over-fitting", "under-fitting", "neither", "undecided"]
    reason: str
    rule: str = RULE


class _Mean(NamedTuple):
    """A stage's figures averaged over some epochs up to and with `epoch`."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


def judge(history: Sequence[EpochResult], *, classes: int) -> Verdict:
    """Judge a run by its epochs.

    Args:
        history: Every epoch, in order; not empty.
        classes: Their number, which gives the accuracy of chance.
    """
    *earlier, stage = [_means(list(group)) for _, group in itertools.groupby(history, lambda one: one.stage_index)]
    length = sum(result.stage_index == history[-1].stage_index for result in history)
    if length + bool(earlier) < POINTS:
        what = "1 epoch shows" if length == 1 else f"{length} epochs show"
        return Verdict(verdict="undecided", reason=f"the last stage's {what} no direction yet")
    lowest = min(itertools.chain(*earlier, stage), key=lambda mean: mean.val_loss)
    return (
        _rose(stage, lowest)
        or _still_falling(stage, lowest, over=max(1, length // 3))
        or _not_learnt(stage[-1], chance=1 / classes)
        or Verdict(
            verdict="neither",
            reason=f"the validation loss reached {lowest.val_loss:.3f} by epoch {lowest.epoch} and ended at "
            f"{stage[-1].val_loss:.3f}",
        )
    )


def _means(results: Sequence[EpochResult]) -> list[_Mean]:
    """Return the moving means of a stage."""
    width = min(max(len(results) // 4, 1), WIDEST)
    windows = [results[end - width : end] for end in range(width, len(results) + 1)]
    fields = _Mean._fields[1:]
    return [
        _Mean(window[-1].epoch, *(sum(getattr(one, field) for one in window) / width for field in fields))
        for window in windows
    ]


def _rose(stage: Sequence[_Mean], lowest: _Mean) -> Verdict | None:
    """Look for a validation loss that rose: over-fitting where the training loss went on falling."""
    last = stage[-1]
    rise = last.val_loss - lowest.val_loss
    if last.epoch - lowest.epoch < 2 or rise <= max(RISE * lowest.val_loss, LEAST_NATS):
        return None
    began = max(lowest, stage[0], key=lambda mean: mean.epoch)
    moved = f"after epoch {lowest.epoch} the validation loss rose from {lowest.val_loss:.3f} to {last.val_loss:.3f}"
    trained = f"{began.train_loss:.3f} to {last.train_loss:.3f}"
    if began.train_loss - last.train_loss <= GAIN * began.train_loss:
        return Verdict(
            verdict="neither",
            reason=f"{moved}, but the training loss did not fall ({trained}): unsteady, not over-fitted; a lower "
            "learning rate or more validation images would help",
        )
    right = f"{lowest.val_accuracy:.3f} to {last.val_accuracy:.3f}"
    surer = f" (not its accuracy, {right}: surer, not wronger)" if last.val_accuracy >= lowest.val_accuracy else ""
    return Verdict(
        verdict="over-fitting",
        reason=f"{moved}{surer} while the training loss fell from {trained}; more data, augmentation or weight decay, "
        "or fewer epochs, would help",
    )


def _still_falling(stage: Sequence[_Mean], lowest: _Mean, *, over: int) -> Verdict | None:
    """Look for a validation loss that was on its way down when the epochs were over."""
    last, before = stage[-1], stage[max(-1 - over, -len(stage))]
    if lowest is not last or before.val_loss - last.val_loss <= max(GAIN * before.val_loss, LEAST_NATS):
        return None
    return Verdict(
        verdict="under-fitting",
        reason=f"the validation loss was still falling, from {before.val_loss:.3f} to {last.val_loss:.3f} since epoch "
        f"{before.epoch}; more epochs or a higher learning rate would help",
    )


def _not_learnt(last: _Mean, *, chance: float) -> Verdict | None:
    """Look for images that even training did not learn; augmentation lowers this accuracy, but not by half."""
    if last.train_accuracy >= (1 + chance) / 2:
        return None
    return Verdict(
        verdict="under-fitting",
        reason=f"the training accuracy is {last.train_accuracy:.3f}, less than half of the way from chance "
        f"({chance:.3f}) to 1; a larger network, more trainable layers or less augmentation would help",
    )
