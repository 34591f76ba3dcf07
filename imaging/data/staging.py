"""Where a dataset version grows before it has a name: a locked folder beside the versions, published by a rename."""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from imaging.atomic import new_directory
from imaging.data.candidates import Candidate
from imaging.data.dataset import IMAGES, load_dataset, packed_shape
from imaging.errors import ThoraxError

PREFIX = ".ingest-"
HEADER = 256
"""Bytes before the pixels, which begin on a multiple of 64 as the format wants."""
AT_ONCE = 256


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """Yield an empty folder inside `out`, gone afterwards; also remove those whose writer was killed."""
    out.mkdir(parents=True, exist_ok=True)
    for left_behind in out.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(left_behind):
            shutil.rmtree(left_behind, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _locked(folder):
            yield folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when its holder dies; OSError where another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


class Pack:
    """`images.npy` as it grows: images are appended, and what is not kept is squeezed out in place at the end."""

    def __init__(self, folder: Path, size: int) -> None:
        self._path, self._size = folder / IMAGES, size
        self._file = self._path.open("wb")
        self._file.write(bytes(HEADER))
        self._hash = hashlib.sha256()

    def append(self, images: np.ndarray) -> None:
        """Add one or many images, uint8; all of a pack have the same channels."""
        data = np.ascontiguousarray(images).data
        self._file.write(data)
        self._hash.update(data)

    def close(self) -> None:
        """Finish writing."""
        self._file.close()

    def keep(self, positions: np.ndarray, *, stored: int, channels: int) -> str:
        """Keep the images at `positions`, ascending, and of `stored` channels a pixel the first `channels`.

        Returns:
            The pixels' digest where nothing had to change, as it was counted while they came; else nothing.
        """
        self.close()
        was, becomes = (packed_shape(1, self._size, number)[1:] for number in (stored, channels))
        images = np.memmap(self._path, np.uint8, mode="r+", offset=HEADER).reshape(-1, *was)
        place, length = HEADER, int(np.prod(becomes))
        changes = len(positions) < len(images) or stored != channels
        if changes:
            with self._path.open("r+b") as file:
                for start in range(0, len(positions), AT_ONCE):
                    some = images[positions[start : start + AT_ONCE]]
                    file.seek(place)
                    # Never beyond what was read: the kept ones only move towards the beginning.
                    place += file.write(np.ascontiguousarray(some if stored == channels else some[..., 0]).data)
        del images
        with self._path.open("r+b") as file:
            file.write(_header(packed_shape(len(positions), self._size, channels)))
            file.truncate(HEADER + len(positions) * length)
        return "" if changes else f"sha256:{self._hash.hexdigest()}"


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the beginning of an .npy file of uint8, of `HEADER` bytes whatever the shape."""
    file = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, facts)
    written = file.getvalue()
    # The format lets spaces before the header's last line break fill it up.
    filled = written[:-1].ljust(HEADER - 1) + b"\n"
    return filled[:8] + struct.pack("<H", HEADER - 10) + filled[10:]


def table_of(kept: Sequence[Candidate]) -> dict[str, np.ndarray]:
    """Return the columns of the kept images."""
    return {name: np.array([candidate.columns[name] for candidate in kept]) for name in kept[0].columns}


def publish(folder: Path, path: Path, digest: str) -> None:
    """Give the finished dataset version its name. One that is there already and whole is left as it is."""
    with contextlib.suppress(ThoraxError):
        if load_dataset(path, check_digest=True).digest == digest:
            return
    with new_directory(path) as final:
        for file in sorted(folder.iterdir()):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            file.rename(final / file.name)
