"""What a model directory tells about its training: curves as numbers and as a picture, event files, a verdict."""

import json
from collections.abc import Sequence
from pathlib import Path

from imaging import atomic
from imaging.config import Frozen
from imaging.training.curves import draw_curves
from imaging.training.event_files import write_event_files
from imaging.training.results import EpochResult
from imaging.training.verdict import Verdict, judge

CURVES_FILE = "curves.json"


class TrainingReport(Frozen):
    """`curves.json`."""

    epochs: tuple[EpochResult, ...]
    best_epoch: int
    """The one whose weights were kept."""
    seconds: float
    """Of all epochs, with validation; of every process that an interrupted run took."""
    images_per_s: float
    """Training images a second, validation apart."""
    data_share: float
    """Share of the training time in which the loop waited for images."""
    verdict: Verdict


def report_training(history: Sequence[EpochResult], best: EpochResult, *, classes: int) -> TrainingReport:
    """Sum a run up; epochs count by their length.

    Args:
        history: Every epoch, in order.
        best: The epoch whose weights were kept.
        classes: Their number.
    """
    return TrainingReport(
        epochs=tuple(history),
        best_epoch=best.epoch,
        seconds=sum(result.seconds for result in history),
        images_per_s=_by_time(history, "images_per_s"),
        data_share=_by_time(history, "data_share"),
        verdict=judge(history, classes=classes),
    )


def _by_time(history: Sequence[EpochResult], field: str) -> float:
    """Average a rate over the run's time."""
    seconds = sum(result.seconds for result in history)
    total = sum(getattr(result, field) * result.seconds for result in history)
    return total / seconds if seconds else 0.0


def write_reports(
    directory: Path, history: Sequence[EpochResult], best: EpochResult, *, classes: int
) -> TrainingReport:
    """Write `curves.json`, `curves.png` and `tensorboard/` into a model directory and return what they tell.

    Args:
        directory: The model directory.
        history: Every epoch, in order.
        best: The epoch whose weights were kept.
        classes: Their number.
    """
    report = report_training(history, best, classes=classes)
    atomic.write_text(directory / CURVES_FILE, report.model_dump_json(indent=1) + "\n")
    atomic.write_bytes(directory / "curves.png", draw_curves(history, best, text=_text(report)))
    write_event_files(directory, history)
    return report


def read_report(directory: Path) -> TrainingReport:
    """Read a model directory's `curves.json`."""
    return TrainingReport.model_validate(json.loads((directory / CURVES_FILE).read_text()))


def duration_text(seconds: float) -> str:
    """Write seconds as `8.4 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _text(report: TrainingReport) -> str:
    """Return the picture's heading: what it cost, and the verdict."""
    number = len(report.epochs)
    cost = (
        f"{number} epoch{'s' if number > 1 else ''} in {duration_text(report.seconds)}, "
        f"{report.images_per_s:,.0f} images/s, {report.data_share:.1%} of the training time waiting for data"
    )
    return f"{cost}\n{report.verdict.verdict}: {report.verdict.reason}"
