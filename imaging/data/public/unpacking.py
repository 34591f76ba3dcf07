"""Unpack archives that a stranger made: files and folders only, below one folder, within limits."""

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from imaging.errors import DataError

CHUNK = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpackLimits:
    """The most that comes out of an archive."""

    files: int = 500_000
    bytes: int = 200 * 2**30
    ratio: int = 200
    """Times the size of the archive: radiographs do not shrink like zeros."""


def is_archive(path: Path) -> bool:
    """Return whether a file's name is one of an archive that is unpacked."""
    return path.name.endswith((".zip", ".tgz", ".tar.gz", ".tar"))


def unpack(archive: Path, folder: Path, limits: UnpackLimits = UnpackLimits()) -> int:
    """Unpack a zip or tar file into `folder` and return the number of files.

    Raises:
        DataError: a damaged archive; a path that leads out; a link, device or encrypted entry; more than the limits.
    """
    most = min(limits.bytes, max(archive.stat().st_size, 2**20) * limits.ratio)
    opened = _zip_entries if archive.name.endswith(".zip") else _tar_entries
    count = 0
    try:
        with opened(archive) as entries:
            for name, file in entries:
                count += 1
                if count > limits.files:
                    raise DataError(f"{archive.name} holds more than {limits.files} files")
                most -= _write(file, _inside(folder, name, archive), most, archive)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive.name} is damaged ({type(error).__name__}); fetch it again") from error
    except FileExistsError as error:
        raise DataError(f"{archive.name} holds one file twice") from error
    return count


@contextmanager
def _tar_entries(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    with tarfile.open(archive, mode="r|*") as tar:
        yield _tar_files(tar, archive)


def _tar_files(tar: tarfile.TarFile, archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for member in tar:
        file = tar.extractfile(member) if member.isreg() else None
        if file is not None:
            if not _is_clutter(member.name):
                yield member.name, file
        elif not member.isdir():
            raise DataError(f"{archive.name} holds a link or a device; it is not unpacked")


@contextmanager
def _zip_entries(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    with zipfile.ZipFile(archive) as opened:
        yield _zip_files(opened, archive)


def _zip_files(opened: zipfile.ZipFile, archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive.name} holds a link or a device; it is not unpacked")
        if not info.is_dir() and not _is_clutter(info.filename):
            with opened.open(info) as file:
                yield info.filename, file


def _is_clutter(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1] == ".DS_Store"


def _inside(folder: Path, name: str, archive: Path) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise DataError(f"{archive.name} holds a path that leads out of its folder; it is not unpacked")
    return folder.joinpath(*path.parts)


def _write(file: IO[bytes], target: Path, most: int, archive: Path) -> int:
    """Write one file, which is not there yet, and return its size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := file.read(CHUNK):
            written += out.write(chunk)
            if written > most:
                raise DataError(f"{archive.name} grows beyond what is unpacked")
    return written


def has_room(folder: Path, needed: int) -> bool:
    """Return whether `needed` bytes are free where `folder` is."""
    return shutil.disk_usage(folder).free > needed
