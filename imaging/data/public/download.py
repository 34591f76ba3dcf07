"""One file over HTTP: resumed where it broke off, tried again a bounded number of times, whole or not at all."""

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from imaging.data.public.collections import Remote
from imaging.errors import DataError, NotFoundError, ServiceError

TIMEOUT_S = 30.0
"""Longest wait for a connection, or for the next bytes."""
ATTEMPTS = 5
"""Tries in a row that bring no byte further."""
AGAIN = {408, 425, 429, 500, 502, 503, 504}
MOST = 2**40
CHUNK = 2**20
OnBytes = Callable[[int, int], None]


class _BrokenOffError(Exception):
    """The transfer ended early: what came is kept, and the rest is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloader:
    """How files are fetched."""

    pause_s: float = 1.0
    """Wait before the second try in a row; it doubles with each."""
    timeout_s: float = TIMEOUT_S
    on_bytes: OnBytes = lambda done, total: None
    """Called with the bytes there are and the bytes in all (0 where not known)."""

    def fetch(self, remote: Remote, url: str, target: Path) -> str:
        """Make `target` the file at `url`; return its `sha256:` digest.

        What was left by a break lies beside `target` and is continued.

        Raises:
            NotFoundError: the server has no such file. ServiceError: it does not answer, or keeps breaking off.
            DataError: the file is not the published one.
        """
        part = target.with_name(f".{target.name}.part")
        was_resumed = part.exists()
        with httpx.Client(follow_redirects=True, timeout=self.timeout_s) as client:
            self._complete(client, remote, url, part)
            digest = checked(part, remote)
            if not digest and was_resumed:  # the file may have changed between the two halves
                _throw_away(part)
                self._complete(client, remote, url, part)
                digest = checked(part, remote)
        if not digest:
            _throw_away(part)
            raise DataError(f"{remote.name} came with another checksum than the published one; it was thrown away")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        _version_of(part).unlink(missing_ok=True)
        return digest

    def _complete(self, client: httpx.Client, remote: Remote, url: str, part: Path) -> None:
        """Ask until everything is there."""
        failures, reason = 0, ""
        while failures < ATTEMPTS:
            before = _length(part)
            try:
                self._ask(client, remote, url, part)
            except (httpx.RequestError, _BrokenOffError) as error:
                reason = str(error) or type(error).__name__
                failures = failures + 1 if _length(part) <= before else 1
                time.sleep(self.pause_s * 2 ** (failures - 1))
            else:
                return
        raise ServiceError(
            f"{remote.name} did not come after {ATTEMPTS} tries in a row ({reason}); run the same again to continue"
        )

    def _ask(self, client: httpx.Client, remote: Remote, url: str, part: Path) -> None:
        """Ask once for what is missing and write it down.

        Raises:
            _BrokenOffError: not everything came.
        """
        have, version = _length(part), _version_of(part)
        headers = {"Accept-Encoding": "identity"}
        if have and version.exists():
            headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text()}
        elif have and remote.digest:  # halves of two versions would be found out
            headers |= {"Range": f"bytes={have}-"}
        with client.stream("GET", url, headers=headers) as answer:
            _refuse(answer, remote)
            if answer.status_code == 416:
                if answer.headers.get("Content-Range", "") == f"bytes */{have}":
                    return
                _throw_away(part)
                raise _BrokenOffError("the server's file is shorter than what had come")
            start = _start(answer)
            if start not in (0, have):
                raise _BrokenOffError("the server sent another range than was asked for")
            total = start + int(answer.headers.get("Content-Length", 0))
            most = remote.size or MOST
            if total > most:
                raise DataError(f"{remote.name} has {total} bytes; {most} were expected")
            validator = answer.headers.get("ETag", "")
            _remember(version, answer.headers.get("Last-Modified", "") if validator[:2] in ("", "W/") else validator)
            self._write(answer, remote, part, start=start, total=total)
        if total > start and _length(part) != total:
            raise _BrokenOffError(f"{_length(part)} of {total} bytes came")

    def _write(self, answer: httpx.Response, remote: Remote, part: Path, *, start: int, total: int) -> None:
        done, most = start, remote.size or MOST
        with part.open("ab" if start else "wb") as file:
            for chunk in answer.iter_raw():  # as it comes: whole chunks would lose the last one at a break
                done += file.write(chunk)
                if done > most:
                    raise DataError(f"{remote.name} has more than the {most} bytes that were expected")
                self.on_bytes(done, total if total > start else remote.size)


def checked(path: Path, remote: Remote) -> str:
    """Return a file's `sha256:` digest, or nothing where it is not what was published."""
    hashes = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for one in hashes.values():
                one.update(chunk)
    kind, _, expected = remote.digest.partition(":")
    is_it = not expected or hashes[kind].hexdigest() == expected
    return f"sha256:{hashes['sha256'].hexdigest()}" if is_it else ""


def _refuse(answer: httpx.Response, remote: Remote) -> None:
    code = answer.status_code
    if code in (404, 410):
        raise NotFoundError(f"the server has no {remote.name} (HTTP {code}); name another place with --mirror")
    if code in AGAIN:
        raise _BrokenOffError(f"HTTP {code}")
    if code not in (200, 206, 416):
        raise ServiceError(f"the server refused {remote.name} with HTTP {code}")


def _start(answer: httpx.Response) -> int:
    """Return the place of the first byte that comes."""
    if answer.status_code != 206:
        return 0
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if found is None:
        raise _BrokenOffError("the server sent a range without saying which")
    return int(found[1])


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_of(part: Path) -> Path:
    """Return where the version of the half-come file is written down, so that its rest is of the same one."""
    return part.with_name(f"{part.name}.version")


def _throw_away(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_of(part).unlink(missing_ok=True)


def _remember(path: Path, version: str) -> None:
    if version:
        path.write_text(version)
    else:
        path.unlink(missing_ok=True)
