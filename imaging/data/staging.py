"""Where a dataset version grows before it has a name: a locked folder beside the versions, published by a rename."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from imaging.atomic import new_directory
from imaging.data.candidates import Candidate
from imaging.data.dataset import IMAGES, load_dataset
from imaging.data.statistics import STATISTICS, image_statistics
from imaging.errors import ThoraxError

PREFIX = ".ingest-"
UNPACKED = "unpacked.u8"
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


def pack(folder: Path, kept: Sequence[Candidate], size: int) -> dict[str, np.ndarray]:
    """Copy the kept images from the unpacked file to `images.npy`; return the columns of their table."""
    everything = np.memmap(folder / UNPACKED, np.uint8, mode="r").reshape(-1, size, size)
    images = np.lib.format.open_memmap(folder / IMAGES, mode="w+", dtype=np.uint8, shape=(len(kept), size, size))
    statistics: dict[str, list[np.ndarray]] = {name: [] for name in STATISTICS}
    for start in range(0, len(kept), AT_ONCE):
        positions = [candidate.position for candidate in kept[start : start + AT_ONCE]]
        images[start : start + AT_ONCE] = everything[positions]
        for name, values in image_statistics(images[start : start + AT_ONCE]).items():
            statistics[name].append(values)
    images.flush()
    del images, everything
    (folder / UNPACKED).unlink()
    columns = {name: np.array([candidate.columns[name] for candidate in kept]) for name in kept[0].columns}
    return {**columns, **{name: np.concatenate(parts) for name, parts in statistics.items()}}


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
