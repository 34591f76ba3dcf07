"""A run's figures by epoch as TensorBoard event files: `tensorboard --logdir` draws training over validation.

Written once, when the run is over, in TensorBoard's own format and by its own record writer; its asynchronous one would
put the machine's name into the file's.
"""

import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from imaging import atomic
from imaging.training.results import EpochResult

FOLDER = "tensorboard"
FILE = "events.out.tfevents.epochs"
RUNS = {
    "training": {
        "loss": "train_loss",
        "accuracy": "train_accuracy",
        "learning_rate": "lr",
        "images_per_s": "images_per_s",
        "data_share": "data_share",
    },
    "validation": {
        "loss": "val_loss",
        "accuracy": "val_accuracy",
        "balanced_accuracy": "val_balanced_accuracy",
        "macro_auroc": "val_macro_auroc",
    },
}
"""The folder of each event file, and of which field each of its scalars is."""


def write_event_files(directory: Path, history: Sequence[EpochResult], *, ended: float | None = None) -> None:
    """Write `tensorboard/training` and `tensorboard/validation` into `directory`.

    Args:
        directory: The model directory.
        history: Every epoch, in order.
        ended: When the last epoch ended (Unix time); now, where absent. Earlier epochs count back from it.
    """
    times = _times(history, time.time() if ended is None else ended)
    for run, scalars in RUNS.items():
        atomic.write_bytes(directory / FOLDER / run / FILE, _events(history, times, scalars))


def _times(history: Sequence[EpochResult], ended: float) -> list[float]:
    """Return when each epoch ended, as if the run had never been interrupted."""
    times = [ended]
    for result in reversed(history[1:]):
        times.append(times[-1] - result.seconds)
    return times[::-1]


def _events(history: Sequence[EpochResult], times: Sequence[float], scalars: dict[str, str]) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    records = RecordWriter(buffer)
    records.write(Event(wall_time=times[0], file_version="brain.Event:2").SerializeToString())
    for moment, result in zip(times, history, strict=True):
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in _values(result, scalars)]
        records.write(Event(wall_time=moment, step=result.epoch, summary=Summary(value=values)).SerializeToString())
    return buffer.getvalue()


def _values(result: EpochResult, scalars: dict[str, str]) -> Iterator[tuple[str, float]]:
    for tag, field in scalars.items():
        yield tag, getattr(result, field)
