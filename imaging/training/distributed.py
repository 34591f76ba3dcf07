"""One training run by several processes of this machine, which share every batch: one a GPU, or several on CPUs.

`launch` starts them by torchrun and tells what they tell. However it ends, none of them outlives it: not a process
that hangs, nor the others when one is killed, nor all of them when this process is.
"""

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

import imaging
from imaging.atomic import write_text
from imaging.config import TrainConfig
from imaging.errors import ConfigurationError, TrainingProcessError
from imaging.settings import Settings
from imaging.training.loop import OnProgress
from imaging.training.messages import Heard
from imaging.training.on_disk import CHECKPOINT_EVERY_S
from imaging.training.process import Job
from imaging.training.results import BestEpoch, EpochResult

STOP_S = 60.0
"""How long a stop may take: the checkpoint of a large network is written meanwhile."""
GRACE_S = 10.0
"""How long what is left of a group may take to end by itself."""
POLL_S = 0.5
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
END = re.compile(r"time\s*: (\S+)\n.*\n\s*rank\s*: (\d+).*\n\s*exitcode\s*: (-?\d+)")
"""One process's end in torchrun's report."""
AT_ONCE_S = 15.0
LAST_LINES = 20
LOOPBACK = "127.0.0.1"


def launch(
    config: TrainConfig,
    dataset_path: Path,
    split_file: Path,
    out: Path,
    *,
    processes: int,
    settings: Settings,
    on_epoch: Callable[[EpochResult], None] | None = None,
    on_progress: OnProgress | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> BestEpoch:
    """Do what `train_on_disk` does, by several processes: the same batches, checkpoint and model directory.

    Args:
        config: The recipe; `batch_size` is what all of them take together.
        dataset_path: A dataset version.
        split_file: A split of that version.
        out: The model directory to write.
        processes: How many; on a machine with GPUs, at most as many as those.
        settings: As for one process.
        on_epoch: Told every epoch's result.
        on_progress: Told a few times a second how far the epoch is.
        checkpoint_every_s: Least time between checkpoints.

    Returns:
        The kept epoch.

    Raises:
        ThoraxError: what a process failed with, as that very class.
        TrainingProcessError: when one died, or all hang; the same call goes on from the checkpoint.
        KeyboardInterrupt: on Ctrl-C, once the checkpoint of the last whole epoch is on disk.
    """
    if processes < 1:
        raise ConfigurationError(f"expected at least one process, not {processes}")
    job = Job.of(
        config,
        dataset_path,
        split_file,
        out,
        settings=settings,
        checkpoint_every_s=checkpoint_every_s,
        tells_progress=on_progress is not None,
    )
    heard = Heard(on_epoch=on_epoch, on_progress=on_progress)
    with tempfile.TemporaryDirectory(prefix="thorax-training-") as folder:
        write_text(Path(folder) / "job.json", job.model_dump_json(), mode=0o600)
        with ProcessGroup(Path(folder), processes, heard) as group:
            try:
                group.follow()
            except KeyboardInterrupt:
                group.stop()
                raise
        if heard.best is not None:
            return heard.best
        if heard.stopped:
            raise KeyboardInterrupt
        raise heard.error() or TrainingProcessError(_unforeseen(heard, group.said_last(), processes))


class ProcessGroup:
    """A torchrun and its processes, as a context that none of them outlives.

    Args:
        folder: Holds `job.json`; takes what the processes write to stderr.
        processes: How many.
        heard: Takes in what they say.
    """

    def __init__(self, folder: Path, processes: int, heard: Heard) -> None:
        self._heard = heard
        self._stderr = folder / "stderr.log"
        self._members: dict[int, psutil.Process] = {}
        self._lines: queue.Queue[str | None] = queue.Queue()
        with self._stderr.open("wb") as stderr:
            self._torchrun = subprocess.Popen(
                [*launcher(processes), "-m", "imaging.training.process", str(folder / "job.json")],
                env=environment(processes),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # a terminal's Ctrl-C is for us, who pass it on
            )
        self._reader = threading.Thread(target=self._read, name="training-messages", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def follow(self, *, limit_s: float | None = None) -> None:
        """Take in what is said until all have ended, or the time is over."""
        deadline = None if limit_s is None else time.monotonic() + limit_s
        for line in self._said(deadline):
            self._heard.take(line)
            for rank, pid in self._heard.processes.items():
                if rank not in self._members:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        self._members[rank] = psutil.Process(pid)

    def stop(self) -> None:
        """Let the first process save what it has and end; the others end with it."""
        if 0 not in self._members:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            self._members[0].send_signal(signal.SIGINT)
        self.follow(limit_s=STOP_S)

    def end(self) -> None:
        """End every process that is left, at once."""
        left = list(self._members.values())
        with contextlib.suppress(psutil.NoSuchProcess):
            left += psutil.Process(self._torchrun.pid).children(recursive=True)
        left = [process for process in left if process.is_running()]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._torchrun.wait(timeout=0 if left else GRACE_S)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._torchrun.kill()
        self._torchrun.wait()
        self._reader.join(timeout=GRACE_S)

    def said_last(self) -> str:
        """Return what was written to stderr; from torchrun, how each process ended."""
        return self._stderr.read_text(errors="replace")

    def _said(self, deadline: float | None) -> Iterator[str]:
        """Yield lines until the pipe is closed, torchrun is gone for a while, or the deadline."""
        gone_at: float | None = None
        while True:
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=POLL_S)
                if line is None:
                    return
                yield line
            now = time.monotonic()
            if self._torchrun.poll() is not None and gone_at is None:
                gone_at = now
            if (deadline is not None and now > deadline) or (gone_at is not None and now > gone_at + GRACE_S):
                return

    def _read(self) -> None:
        if self._torchrun.stdout is not None:
            with self._torchrun.stdout as stdout:
                for line in stdout:
                    self._lines.put(line.decode(errors="replace"))
        self._lines.put(None)


def launcher(processes: int) -> list[str]:
    """Return how torchrun starts `processes` that meet at loopback, whatever this machine calls itself."""
    meeting = ["--standalone", f"--local-addr={LOOPBACK}"]
    return [sys.executable, "-m", "torch.distributed.run", *meeting, f"--nproc-per-node={processes}"]


def environment(processes: int) -> dict[str, str]:
    """Return this process's environment, made for `processes` that share its cores and find this very library."""
    cores = len(os.sched_getaffinity(0))
    kept = {name: value for name, value in os.environ.items() if name not in TORCHRUN}
    paths = [str(Path(imaging.__file__).parent.parent), kept.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    kept.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    # gloo would look up this machine's own name, which many a container cannot resolve
    kept["GLOO_SOCKET_IFNAME"] = loopback_interface()
    return kept


def loopback_interface() -> str:
    """Return the name of this machine's loopback interface.

    Raises:
        TrainingProcessError: when it has none.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.family == socket.AF_INET and address.address == LOOPBACK for address in addresses):
            return name
    raise TrainingProcessError(f"no network interface has the address {LOOPBACK}, over which processes meet")


def _unforeseen(heard: Heard, said_last: str, processes: int) -> str:
    """Say how processes ended that gave no code: by a signal, or by an error that nobody foresaw."""
    kept = "what was saved is kept, and the same command goes on from it"
    if killed := _killed(said_last):
        return f"{killed} of {processes}: by somebody, or by the system for want of memory; {kept}"
    if heard.failures:
        first = heard.failures[0]
        return f"process {first.rank} of {processes} failed: {first.message}; {kept}"
    last = " | ".join(said_last.strip().splitlines()[-LAST_LINES:]) or "nothing"
    return f"{processes} training processes ended without a word, and the last they wrote was: {last}; {kept}"


def _killed(said_last: str) -> str:
    """Find in torchrun's report the process that a signal ended, where that is what ended the others.

    Whom a killed process leaves behind may fail, and say so, before the kill is seen. torchrun itself asks the rest to
    end, and kills those that do not long after.
    """
    ends = [
        (datetime.fromisoformat(when).timestamp(), rank, -int(status)) for when, rank, status in END.findall(said_last)
    ]
    first = min((when for when, _, _ in ends), default=0.0)
    for when, rank, number in sorted(ends):
        if number > 0 and number != signal.SIGTERM and when - first < AT_ONCE_S:
            return f"{signal.Signals(number).name} ended process {rank}"
    return ""
