"""Memory that a step gives back is there for the next step.

The C library returns large freed blocks to the system, which must hand them out and zero them anew, page by page:
between a tenth and a quarter of the time of a small network's step on a CPU, and half or more of the time that a
network of many thin layers takes to answer.
"""

import contextlib
import ctypes
import functools
import sys
import threading
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt` (malloc.h): above how much free memory at the end of the heap it is given back,
and from which size on a block is the system's own."""
KEPT_BYTES = 2**30
USUAL_BYTES = 32 * 2**20
"""Where glibc's own adjustment of both, which ends for good once they are set, would have stopped."""


_lock = threading.Lock()
_holders = 0


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory for the process; at the end of the outermost it is given back.

    Does nothing where there is no glibc. May be nested and used by several threads.
    """
    keep_memory()
    try:
        yield
    finally:
        _let_go()


def keep_memory() -> None:
    """Keep freed memory until the process ends, as a server wants it: as much as its largest request took."""
    global _holders
    with _lock:
        _holders += 1
        library = _glibc()
        if _holders == 1 and library:
            _set_thresholds(library, KEPT_BYTES)


def _let_go() -> None:
    global _holders
    with _lock:
        _holders -= 1
        library = _glibc()
        if _holders == 0 and library:
            _set_thresholds(library, USUAL_BYTES)
            library.malloc_trim(0)


def _set_thresholds(library: ctypes.CDLL, size: int) -> None:
    for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        library.mallopt(parameter, size)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
