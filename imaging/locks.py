"""One process at a time, by a lock of a file that the kernel takes from a killed one."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from imaging.errors import ServiceError

LOOK_EVERY_S = 0.1


@contextlib.contextmanager
def locked(path: Path, *, within_s: float, busy: str) -> Iterator[None]:
    """Hold the lock of `path`, which is made where it is absent, until the block ends.

    Args:
        path: Of the lock file; its folder is there.
        within_s: How long to wait for another holder.
        busy: What to say when that is over.

    Raises:
        ServiceError: another process holds it for longer.
    """
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + within_s
        while not _take(descriptor):
            if time.monotonic() > deadline:
                raise ServiceError(busy)
            time.sleep(LOOK_EVERY_S)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Yield whether this process has the lock of `path`; another holder is not waited for."""
    descriptor = _open(path)
    try:
        yield _take(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
