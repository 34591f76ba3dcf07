"""Writes that are whole or absent: a temporary sibling, fsync, rename."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` by `text` (UTF-8) atomically, with permission `mode` from the first byte on."""
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` atomically, with permission `mode` from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield an empty sibling folder that becomes `path` when the block ends well, and is removed when not.

    An existing `path` is replaced only then; of several writers the last one wins. What a kill left behind is
    removed by the next writer, which knows a living one's folder by its lock: the kernel lets go of it at death.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(path)
    temporary, lock = _locked_directory(path)
    try:
        yield temporary
        _move_over(temporary, path)
        sync_directory(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def _locked_directory(path: Path) -> tuple[Path, int]:
    """Make a temporary folder for `path`; return it and the descriptor that keeps it locked."""
    while True:
        temporary = _temporary_name(path)
        temporary.mkdir()
        try:
            lock = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:  # removed as left behind before it could be locked
            continue
        with contextlib.suppress(OSError):  # a file system without locks: nobody else gets this one either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, lock
        os.close(lock)


def _remove_left_behind(path: Path) -> None:
    """Remove the temporary folders of `path` whose writers are gone."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    for found in path.parent.iterdir():
        if not name.fullmatch(found.name):
            continue
        try:
            lock = os.open(found, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # gone meanwhile, or a file that is being written
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(found, ignore_errors=True)
        except OSError:  # its writer lives
            continue
        finally:
            os.close(lock)


def _move_over(temporary: Path, path: Path) -> None:
    """Rename `temporary` to `path`; what is there is moved aside whole and then removed."""
    while True:
        try:
            temporary.rename(path)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        else:
            return
        aside = _temporary_name(path)
        with contextlib.suppress(FileNotFoundError):  # another writer moved it
            path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Make renames inside `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
