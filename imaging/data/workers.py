"""Read many entries with all cores, in order, holding few of them at a time.

Half of the work on a small picture is Python's own, which threads do one at a time, so a local source is read by
forked processes: they start at once and import nothing. Buckets, few entries and systems other than Linux get threads.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from imaging.data.candidates import Candidate, Problem, Reader
from imaging.data.label_tables import Entry
from imaging.errors import DataError

MOST_AT_ONCE = 16
BYTES_AT_ONCE = 2**22
"""Entries, and packed bytes, that a worker hands over together."""
WORTH_PROCESSES = 200
"""Entries from which processes pay for being started."""
LONGEST_S = 1800.0
"""A batch that takes longer hangs."""
DIES_WITH_PARENT = 1
"""Linux' PR_SET_PDEATHSIG."""

Results = list[Candidate | Problem]


def read_all(reader: Reader, entries: Sequence[Entry], *, workers: int) -> Iterator[Candidate | Problem]:
    """Yield one result an entry, in order.

    Raises:
        DataError: a process died, as for lack of memory, or hangs.
    """
    if workers == 1:
        yield from map(reader.read, entries)
        return
    step = max(1, min(MOST_AT_ONCE, BYTES_AT_ONCE // (3 * reader.size**2)))
    starts = deque(range(0, len(entries), step))
    pool, read = _pool(reader, entries, workers)
    waiting: deque[Future[Results]] = deque()
    try:
        while starts or waiting:
            while starts and len(waiting) < 3 * workers:
                start = starts.popleft()
                waiting.append(pool.submit(read, start, start + step))
            yield from waiting.popleft().result(LONGEST_S)
    except (BrokenProcessPool, TimeoutError) as error:
        raise DataError(
            f"a process that read images died or hangs ({type(error).__name__}); is there memory enough?"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(reader: Reader, entries: Sequence[Entry], workers: int) -> tuple[Executor, Callable[[int, int], Results]]:
    """Return workers, and what they are to be given the bounds of a batch with."""
    if sys.platform != "linux" or reader.source.kind == "s3" or len(entries) < WORTH_PROCESSES:
        threads = ThreadPoolExecutor(workers, thread_name_prefix="ingest")
        return threads, lambda start, stop: [reader.read(entry) for entry in entries[start:stop]]
    fork = multiprocessing.get_context("fork")
    given = (os.getpid(), reader, entries)
    return ProcessPoolExecutor(workers, mp_context=fork, initializer=_begin, initargs=given), _read_mine


_mine: list[tuple[Reader, Sequence[Entry]]] = []
"""What a forked process was given at its birth, without a copy."""


def _begin(parent: int, reader: Reader, entries: Sequence[Entry]) -> None:
    """Make a forked process quiet, deaf to Ctrl-C, which is its parent's to answer, and as mortal as its parent."""
    _mine.append((reader, entries))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # The parent's streams may have been locked by another thread when this process was made.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  the process's own, to its end


def _read_mine(start: int, stop: int) -> Results:
    reader, entries = _mine[0]
    return [reader.read(entry) for entry in entries[start:stop]]
