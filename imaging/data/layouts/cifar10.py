"""CIFAR-10 (Krizhevsky 2009): the binary version, packed or unpacked, or a tree of class folders with its ten names.

The version for Python is a pickle, which can run code when it is opened; it is refused.
"""

import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from imaging.data.layouts import folders
from imaging.data.layouts.plan import ArrayPart, Place, Plan
from imaging.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-binary.tar.gz"
BATCH = re.compile(r"(data_batch_[1-5]|test_batch)\.bin$")
SIDE = 32
RECORD = 1 + 3 * SIDE * SIDE
MOST = 2**29


def fits(place: Place) -> bool:
    """Return whether this is CIFAR-10 in a form that is read, or one that is refused with a reason."""
    if place.table is not None:
        return False
    files = {PurePosixPath(name).name for name in place.names}
    if ARCHIVE in files or any(BATCH.match(name) for name in files) or _pickled(files):
        return True
    parents = {PurePosixPath(name).parent.name for name in place.names if not folders.is_hidden(name)}
    return set(CLASSES) <= parents


def read(place: Place) -> Plan:
    """Return a plan of one part a batch, or of the files in the class folders.

    Raises:
        DataError: the pickled version, or nothing of CIFAR-10.
    """
    files = {PurePosixPath(name).name for name in place.names}
    if ARCHIVE in files:
        return Plan(parts=partial(_from_archive, place))
    if any(BATCH.match(name) for name in files):
        return Plan(parts=partial(_from_files, place))
    if _pickled(files):
        raise DataError(f"this is the pickled version, which can run code; fetch the binary one, {ARCHIVE}")
    return folders.read(place)


def _pickled(files: set[str]) -> bool:
    return "cifar-10-python.tar.gz" in files or {"data_batch_1", "test_batch"} <= files


def _from_archive(place: Place) -> Iterator[ArrayPart]:
    try:
        with tarfile.open(fileobj=io.BytesIO(place.source.read(place.named(ARCHIVE), most=MOST)), mode="r:gz") as tar:
            members = {PurePosixPath(member.name).name: member for member in tar if member.isfile()}
            for name in sorted(name for name in members if BATCH.match(name)):
                file = tar.extractfile(members[name])
                yield _part(name, b"" if file is None else file.read(MOST + 1))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{ARCHIVE} is damaged; fetch it again") from error


def _from_files(place: Place) -> Iterator[ArrayPart]:
    for name in place.names:
        if BATCH.match(PurePosixPath(name).name):
            yield _part(PurePosixPath(name).name, place.source.read(name, most=MOST))


def _part(name: str, data: bytes) -> ArrayPart:
    """Read records of one label and 3 x 32 x 32 values, the channels one after the other."""
    if not data or len(data) % RECORD:
        raise DataError(f"{name} has {len(data)} bytes, which is no multiple of {RECORD}; fetch it again")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise DataError(f"{name} has the label {records[:, 0].max()}; there are {len(CLASSES)}")
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return ArrayPart(
        images=images, labels=np.array(CLASSES)[records[:, 0]], split="test" if name.startswith("test") else "train"
    )
