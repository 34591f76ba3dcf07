"""Fetch a public collection: its files come one by one and can be continued; the folder appears when all is there.

A file whose checksum nobody publishes is pinned: its SHA-256 is written to `checksums.json` when it first comes, and
from then on nothing else is taken for it.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from imaging.atomic import new_directory, write_text
from imaging.data.public.collections import Collection, Remote, collection
from imaging.data.public.download import Downloader, checked
from imaging.data.public.unpacking import has_room, is_archive, unpack
from imaging.errors import ConfigurationError, DataError, ServiceError

PINS = "checksums.json"
OnFile = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchResult:
    """A collection that is here now."""

    path: Path
    was_there: bool
    digests: dict[str, str]
    """`sha256:` of each published file."""
    pinned: tuple[str, ...]
    """Files without a published checksum: what came first is what counts."""


def fetch_public(
    name: str, to: Path, *, mirror: str = "", on_file: OnFile | None = None, downloader: Downloader | None = None
) -> FetchResult:
    """Make `to/<name>` the public collection called `name`.

    Args:
        name: One of `COLLECTIONS`.
        to: The folder of collections.
        mirror: Address of a folder that holds the files as `<name>/<file>`; the publishers' own where empty.
        on_file: Called with a file's name, its bytes that are here, and its bytes in all (0 where not known).
        downloader: How often and how long is tried.

    Raises:
        NotFoundError: no such collection, or no such file on the server. ServiceError: the server does not answer.
        DataError: a wrong checksum, an unsafe or damaged archive, or too little room on the disk.
        ConfigurationError: a mirror that is no HTTP address.
    """
    wanted = collection(name)
    if mirror and (urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc):
        raise ConfigurationError("expected a mirror's address as http:// or https://")
    path = to / name
    pinned = tuple(remote.name for remote in wanted.files if not remote.digest)
    if path.is_dir():
        pins = _pins(to)
        known = {remote.name: pins.get(f"{name}/{remote.name}", "") for remote in wanted.files}
        return FetchResult(path=path, was_there=True, digests=known, pinned=pinned)
    to.mkdir(parents=True, exist_ok=True)
    with _alone(to / f".{name}.download") as folder:
        digests = _download(wanted, name, folder, to, mirror, on_file, downloader or Downloader())
        _publish(wanted, folder, path)
        shutil.rmtree(folder, ignore_errors=True)
    return FetchResult(path=path, was_there=False, digests=digests, pinned=pinned)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Yield the folder of half-come files, which only one process at a time may fill."""
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    except BlockingIOError as error:
        raise ServiceError("another process is fetching this collection to the same place") from error
    finally:
        os.close(descriptor)


def _download(
    wanted: Collection,
    name: str,
    folder: Path,
    to: Path,
    mirror: str,
    on_file: OnFile | None,
    downloader: Downloader,
) -> dict[str, str]:
    needed = wanted.megabytes * 10**6 * (2 if wanted.unpack else 1)
    here = sum(file.stat().st_size for file in folder.iterdir())
    if not has_room(to, needed - here):
        raise DataError(f"the disk has too little room: about {needed // 10**6} MB are needed")
    digests = {}
    for published in wanted.files:
        key = f"{name}/{published.name}"
        remote = replace(published, digest=published.digest or _pins(to).get(key, ""))
        digests[remote.name] = _one(remote, name, folder / remote.name, mirror, on_file, downloader)
        _pin(to, key, digests[remote.name])
    return digests


def _one(remote: Remote, name: str, target: Path, mirror: str, on_file: OnFile | None, downloader: Downloader) -> str:
    """Fetch one file unless an earlier run did."""
    if target.exists():
        digest = checked(target, remote)
        if digest:
            return digest
        target.unlink()
    url = f"{mirror.rstrip('/')}/{name}/{remote.name}" if mirror else remote.url
    if on_file is None:
        return downloader.fetch(remote, url, target)
    on_file(remote.name, 0, remote.size)
    told = replace(downloader, on_bytes=lambda done, total: on_file(remote.name, done, total))
    return told.fetch(remote, url, target)


def _publish(wanted: Collection, folder: Path, path: Path) -> None:
    """Unpack or move what came into its place."""
    files = [folder / remote.name for remote in wanted.files]
    with new_directory(path) as new:
        for file in files:
            if wanted.unpack and is_archive(file):
                unpack(file, new)
            else:
                shutil.copyfile(file, new / file.name)


def _pins(to: Path) -> dict[str, str]:
    try:
        pins = json.loads((to / PINS).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"{PINS} is not JSON; it holds what the files were when they first came") from error
    return {str(key): str(value) for key, value in pins.items()}


def _pin(to: Path, key: str, digest: str) -> None:
    pins = _pins(to)
    if pins.get(key) != digest:
        write_text(to / PINS, json.dumps({**pins, key: digest}, indent=1, sort_keys=True) + "\n")
