"""The search's side of its worker processes: start them, order trials, hear news from whichever has some."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import imaging
from imaging.threads import SPIN_VARIABLES

STOP_S = 60.0
"""Between asking the workers to stop, which they do after their epoch, and ending them."""


@dataclass(kw_only=True)
class WorkerProcess:
    """One worker; `trial` is the number of the trial that it trains."""

    index: int
    process: "subprocess.Popen[bytes]"
    trial: int | None = None
    is_ready: bool = False
    waiting: bytes = field(default=b"", repr=False)
    """The start of a line whose end has not come yet."""

    def order(self, order: dict[str, Any]) -> None:
        """Send an order; a worker that is gone is noticed by its news."""
        pipe = self.process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.write((json.dumps(order) + "\n").encode())
                pipe.flush()

    def interrupt(self) -> None:
        """Interrupt the training, as Ctrl-C would."""
        self.process.send_signal(signal.SIGINT)


class Workers:
    """A context with at most `count` worker processes; none of them outlives it.

    Args:
        count: How many trials may be trained at once.
        given: What all trials share: `dataset`, `split`, `metric`.
        log: Where what they print goes.
    """

    def __init__(self, count: int, *, given: dict[str, Any], log: Path) -> None:
        self._count = count
        self._given = given
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, WorkerProcess] = {}

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        self._selector.close()

    def free(self) -> Iterator[WorkerProcess]:
        """Yield workers that train nothing, started as far as there may be more."""
        yield from [worker for worker in self._workers.values() if worker.trial is None and worker.is_ready]
        while len(self._workers) < self._count:
            yield self._start(min(set(range(self._count)) - self._workers.keys()))

    def busy(self) -> list[WorkerProcess]:
        """Return the workers that train."""
        return [worker for worker in self._workers.values() if worker.trial is not None]

    def hear(self, timeout_s: float) -> Iterator[tuple[WorkerProcess, dict[str, Any]]]:
        """Wait for news and yield it; `{"gone": status}` of a worker that ended unasked."""
        for key, _ in self._selector.select(timeout_s):
            worker = key.data
            chunk = os.read(key.fd, 1 << 20)
            *lines, worker.waiting = (worker.waiting + chunk).split(b"\n")
            for line in lines:
                yield worker, json.loads(line)
            if not chunk:
                yield worker, {"gone": self._forget(worker)}

    def _start(self, index: int) -> WorkerProcess:
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        code = str(Path(imaging.__file__).parents[1])
        path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")]))
        given = json.dumps({**self._given, "index": index})
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "imaging.tuning.worker", given],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"OMP_NUM_THREADS": threads, **SPIN_VARIABLES, **os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the search, which then asks its workers to stop
            )
        worker = self._workers[index] = WorkerProcess(index=index, process=process)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        return worker

    def _forget(self, worker: WorkerProcess) -> int:
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        del self._workers[worker.index]
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return worker.process.wait()
