"""What torchrun starts: one of several processes that train one network together.

`python -m torch.distributed.run … -m imaging.training.process JOB.json`; stdout has the lines of `messages.py`, and
nothing else can get there. Everything about starting, waiting and stopping is the starter's.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from imaging.config import Frozen, TrainConfig
from imaging.settings import Settings
from imaging.training.messages import (
    PASSED_ON,
    epoch_message,
    failure_message,
    message,
    progress_message,
    result_message,
)
from imaging.training.on_disk import CHECKPOINT_EVERY_S, train_on_disk

logger = logging.getLogger(__name__)

INTERRUPTED = 130


class Job(Frozen):
    """What is to be trained on what, the same for all processes. No secret is needed, and none is in it."""

    config: TrainConfig
    dataset: Path
    split: Path
    out: Path
    home: Path
    """Where checkpoints are: a folder that all processes share."""
    weights: Path | None = None
    allow_download: bool = False
    weights_mirror: str = ""
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    tells_progress: bool = True

    @classmethod
    def of(
        cls, config: TrainConfig, dataset: Path, split: Path, out: Path, *, settings: Settings, **options: object
    ) -> "Job":
        """Describe a training with the settings that it needs."""
        return cls.model_validate(
            {
                "config": config,
                "dataset": dataset.resolve(),
                "split": split.resolve(),
                "out": out.resolve(),
                "home": settings.home.resolve(),
                "weights": None if settings.weights is None else settings.weights.resolve(),
                "allow_download": settings.allow_download,
                "weights_mirror": settings.weights_mirror,
                **options,
            }
        )

    def settings(self) -> Settings:
        """Return what training reads of the settings."""
        return Settings(
            home=self.home,
            weights=self.weights,
            allow_download=self.allow_download,
            weights_mirror=self.weights_mirror,
        )


class PassedOn(logging.Handler):
    """Sends log records on as messages."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._tell(message("log", level=record.levelno, logger=record.name, message=record.getMessage()))


def main(job_file: Path) -> int:
    """Train this process's share; return the exit status."""
    rank = int(os.environ.get("RANK", "0"))
    tell = _own_channel()
    tell(message("started", rank=rank, pid=os.getpid()))
    if rank:  # the first one saves and says goodbye; then the starter ends the others
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    library = logging.getLogger(PASSED_ON)
    library.addHandler(PassedOn(tell) if rank == 0 else logging.NullHandler())
    library.setLevel(logging.INFO)
    library.propagate = False
    logging.getLogger().addHandler(logging.StreamHandler())
    try:
        _train(Job.model_validate_json(job_file.read_text()), tell, is_first=rank == 0)
    except KeyboardInterrupt:
        tell(message("stopped"))
        return INTERRUPTED
    except BrokenPipeError:  # nobody listens any more
        return 1
    except Exception as error:
        tell(failure_message(error, rank=rank))
        logging.getLogger().exception("process %d ends", rank)
        return 1
    return 0


def _train(job: Job, tell: Callable[[str], None], *, is_first: bool) -> None:
    best = train_on_disk(
        job.config,
        job.dataset,
        job.split,
        job.out,
        settings=job.settings(),
        on_epoch=lambda result: tell(epoch_message(result)),
        on_progress=(lambda within: tell(progress_message(within))) if is_first and job.tells_progress else None,
        checkpoint_every_s=job.checkpoint_every_s,
    )
    if is_first:
        tell(result_message(best))


def _own_channel() -> Callable[[str], None]:
    """Keep stdout for messages: what others print goes to stderr."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def tell(line: str) -> None:
        os.write(channel, line.encode())

    return tell


if __name__ == "__main__":
    STATUS = main(Path(sys.argv[1]))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # torch's threads may wait for a process that is gone
    os._exit(STATUS)
