"""Ports that an `up` has chosen and no server listens at yet, so that two stacks started at one moment part them.

A port is reserved by a lock on a file named for it, in a folder of this user that every home shares. The kernel lets
go of a lock when its holder dies, so none is ever left behind; the empty files stay. Other users and other programs
know nothing of it: who loses a port to them is started again at another (`lifecycle`).
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import Self

from thorax.stack.ports import is_free


class Reservations:
    """The ports that one `up` has chosen, until this is closed."""

    def __init__(self, folder: Path | None) -> None:
        """Lock files lie in `folder`; without one nothing is reserved, and a port is taken when it is free."""
        self._folder = folder
        self._held: dict[int, int] = {}

    def __enter__(self) -> Self:
        """Nothing is reserved yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of every port: its server listens by now, or never will."""
        while self._held:
            os.close(self._held.popitem()[1])

    def take(self, port: int) -> bool:
        """Reserve `port` and say so, unless something listens there or another `up` has reserved it."""
        if self._folder is None or port in self._held:
            return is_free(port)
        descriptor = _locked(self._folder / str(port))
        if descriptor is None:
            return False
        if not is_free(port):
            os.close(descriptor)
            return False
        self._held[port] = descriptor
        return True


def folder_of_this_user() -> Path | None:
    """Return the folder of the lock files, made where there is none; None where its place is not safely ours.

    The temporary folder is open to everybody, so what lies there under our name may be somebody else's, or a link.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"thorax-ports-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if is_ours else None


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the file's lock, closed in the servers we start; None where somebody has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
