"""A training run as it goes: a live bar on a terminal and a line an epoch, or JSON lines, or nothing."""

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from thorax.console import say, talk

if TYPE_CHECKING:
    from imaging.training.results import EpochResult
    from imaging.training.results import Progress as Within

Phase = Literal["reading", "training", "measuring"]


class LiveTraining:
    """A context whose methods a run calls as it goes; what is for people goes to stderr.

    Args:
        as_json: Write a JSON line an epoch to stdout.
        quiet: Tell people nothing.
        clock: Seconds, of any beginning.
    """

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._left = TimeLeft(clock)
        self._epochs = 0
        self._last: EpochResult | None = None
        self._task: TaskID | None = None
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            console=talk,
            transient=True,
            disable=quiet or not talk.is_terminal,
        )
        self.phase: Phase = "reading"
        self.epochs_done = 0
        """Of the whole run, also those of a process before this one."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """Tell what happens next."""
        if not self._quiet:
            say(text)

    def begin(self, phase: Phase, text: str) -> None:
        """Begin a part of the work."""
        self.phase = phase
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._show(text, 0, None, "")

    def on_read(self, done: int, total: int) -> None:
        """Take note of how many images are packed; `total` is 0 where it is not known."""
        self._show("reading images", done, total or None, f"{done:,}/{total:,}" if total else f"{done:,}")

    def on_progress(self, within: "Within") -> None:
        """Take note of how far an epoch is."""
        self._epochs = within.epochs
        self.epochs_done = max(self.epochs_done, within.epoch - 1)
        left = self._left.at(within)
        figures = [f"loss {within.loss:.3f}"]
        if self._last is not None:
            figures.append(f"validation {self._last.val_loss:.3f} (accuracy {self._last.val_accuracy:.3f})")
        figures.append(f"{within.images_per_s:,.0f} images/s")
        figures += [] if left is None else [f"{_short(left)} left"]
        what = f"epoch {within.epoch}/{within.epochs} {within.stage}"
        self._show(what, within.epoch - 1 + within.step / within.steps, within.epochs, ", ".join(figures))

    def on_epoch(self, result: "EpochResult") -> None:
        """Tell an epoch's result."""
        self.epochs_done = result.epoch
        self._last = result
        self._left.note(result)
        self.write({"event": "epoch", **result.model_dump(mode="json")})
        of_all = f"/{self._epochs}" if self._epochs else ""
        self.note(
            f"epoch {f'{result.epoch}{of_all}':>7}  {result.stage:<14} loss {result.train_loss:.3f}, "
            f"validation {result.val_loss:.3f}  accuracy {result.train_accuracy:.3f}, validation "
            f"{result.val_accuracy:.3f}  AUROC {result.val_macro_auroc:.3f}  {result.images_per_s:,.0f} images/s  "
            f"{_short(result.seconds)}".replace("[", r"\[")
        )

    def write(self, line: dict[str, object]) -> None:
        """Write one JSON line for machines, if they asked."""
        if self._as_json:
            sys.stdout.write(json.dumps(line, default=str) + "\n")
            sys.stdout.flush()

    def _show(self, text: str, done: float, total: float | None, figures: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(text, total=total, figures=figures)
        self._bar.update(self._task, description=text.replace("[", r"\["), completed=done, total=total, figures=figures)


class TimeLeft:
    """How long the rest will take, if every epoch takes as long as this stage's last one.

    Args:
        clock: Seconds, of any beginning.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stage = ""
        self._epoch = 0
        self._began = 0.0
        self._began_at = 0.0
        self._seconds: float | None = None

    def note(self, result: "EpochResult") -> None:
        """Take an epoch's length in."""
        self._stage, self._seconds = result.stage, result.seconds

    def at(self, within: "Within") -> float | None:
        """Return the seconds that are left, or None while nothing tells."""
        done = within.step / within.steps
        if within.epoch != self._epoch:
            self._epoch, self._began, self._began_at = within.epoch, self._clock(), done
        if within.stage == self._stage and self._seconds is not None:
            an_epoch = self._seconds
        elif done > self._began_at:
            an_epoch = (self._clock() - self._began) / (done - self._began_at)
        else:
            return None
        return an_epoch * (within.epochs - within.epoch + 1 - done)


def _short(seconds: float) -> str:
    """Write seconds as `8.4 s`, `3:20` or `2:05:00`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
