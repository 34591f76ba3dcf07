"""What processes that train together say to whoever started them: one JSON object a line.

`{"event": "epoch", …}` and `progress` carry the figures, `log` a line for people, `result` the kept epoch, `failed` an
error with its code, `stopped` that Ctrl-C was heeded. `process.py` writes, `distributed.py` and `trainjob.py` read.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from imaging.errors import (
    ConfigurationError,
    DataError,
    EmptyDatasetError,
    ModelPackageError,
    NotFoundError,
    PatientOverlapError,
    ServiceError,
    ThoraxError,
    TrainingDivergedError,
    TrainingMemoryError,
    TrainingProcessError,
)
from imaging.training.results import BestEpoch, EpochResult, Progress

ERRORS: dict[str, type[ThoraxError]] = {
    error.code: error
    for error in (
        ConfigurationError,
        DataError,
        EmptyDatasetError,
        ModelPackageError,
        NotFoundError,
        PatientOverlapError,
        ServiceError,
        TrainingDivergedError,
        TrainingMemoryError,
        TrainingProcessError,
    )
}
"""What a process may fail with, by code: the same class is raised by whoever started it."""
LONGEST_MESSAGE = 2000
"""Characters; a line stays below what a pipe takes in one piece."""
PASSED_ON = "imaging"
"""Warnings of this logger, and of those under it, reach the reader's logger of the same name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What one process ended with; an error that nobody foresaw has no code."""

    rank: int
    code: str
    message: str


@dataclass(kw_only=True)
class Heard:
    """All that was said so far, and whom to tell of it."""

    on_epoch: Callable[[EpochResult], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    best: BestEpoch | None = None
    stopped: bool = False
    failures: list[Failure] = field(default_factory=list)
    processes: dict[int, int] = field(default_factory=dict)
    """Process ids by rank."""

    def take(self, line: str) -> None:
        """Take one line in; what is not one of ours is passed over."""
        said = parse(line)
        event = said.pop("event", "")
        if event == "started":
            self.processes[int(said["rank"])] = int(said["pid"])
        elif event == "epoch" and self.on_epoch is not None:
            self.on_epoch(EpochResult.model_validate(said))
        elif event == "progress" and self.on_progress is not None:
            self.on_progress(Progress(**said))
        elif event == "log":
            logging.getLogger(str(said["logger"])).log(int(said["level"]), "%s", said["message"])
        elif event == "result":
            self.best = BestEpoch(**said)
        elif event == "stopped":
            self.stopped = True
        elif event == "failed":
            self.failures.append(Failure(**said))

    def error(self) -> ThoraxError | None:
        """Return the first error with a code, which is the cause; those of processes that were left alone follow it."""
        for failure in self.failures:
            if failure.code in ERRORS:
                return ERRORS[failure.code](failure.message)
        return None


def parse(line: str) -> dict[str, Any]:
    """Return the object of one line, or nothing where it is not one of ours."""
    if not line.startswith('{"event":'):
        return {}
    try:
        said = json.loads(line)
    except ValueError:  # cut off, by a kill
        return {}
    return said if isinstance(said, dict) else {}


def message(event: str, **fields: Any) -> str:
    """Return one line, with its end."""
    return json.dumps({"event": event, **fields}) + "\n"


def epoch_message(result: EpochResult) -> str:
    """Tell an epoch's figures."""
    return message("epoch", **result.model_dump(mode="json"))


def progress_message(within: Progress) -> str:
    """Tell how far an epoch is."""
    return message("progress", **asdict(within))


def result_message(best: BestEpoch) -> str:
    """Tell the kept epoch: the model directory is written."""
    return message("result", **asdict(best))


def failure_message(error: BaseException, *, rank: int) -> str:
    """Tell what a process fails with."""
    code = error.code if isinstance(error, ThoraxError) else ""
    text = str(error) if code else f"{type(error).__name__}: {error}"
    return message("failed", rank=rank, code=code, message=text[:LONGEST_MESSAGE])
