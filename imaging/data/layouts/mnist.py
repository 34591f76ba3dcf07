"""MNIST and its kin in the idx format (LeCun et al. 1998): `train-images-idx3-ubyte.gz` and its three companions.

The format: two zero bytes, 8 for unsigned bytes, the number of dimensions, each as a big-endian 32-bit integer, data.
"""

import gzip
import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from imaging.data.layouts.plan import ArrayPart, Place, Plan
from imaging.errors import DataError

IMAGES = re.compile(r"(train|t10k|test)-images[-.]idx3-ubyte(\.gz)?$")
SPLITS = {"train": "train", "t10k": "test", "test": "test"}
MOST = 2**31
"""Bytes of one file, unpacked."""


def fits(place: Place) -> bool:
    """Return whether there are idx files of images."""
    return place.table is None and any(IMAGES.match(PurePosixPath(name).name) for name in place.names)


def read(place: Place) -> Plan:
    """Return a plan of one part a file of images."""
    found: dict[str, str] = {}
    for name in place.names:  # a file and its packed copy are one part: the first is read
        match = IMAGES.match(PurePosixPath(name).name)
        if match:
            found.setdefault(SPLITS[match[1]], name)

    def parts() -> Iterator[ArrayPart]:
        for split in sorted(found, reverse=True):
            yield _part(place, found[split], split)

    return Plan(parts=parts)


def _part(place: Place, name: str, split: str) -> ArrayPart:
    names = [name.replace("images", "labels").replace("idx3", "idx1")]
    names += [names[0].removesuffix(".gz") if names[0].endswith(".gz") else f"{names[0]}.gz"]
    beside = next((candidate for candidate in names if candidate in place.names), None)
    if beside is None:
        raise DataError(f"there are images of {split} and no labels: {PurePosixPath(names[0]).name} is missing")
    images, labels = idx_array(_bytes(place, name), dimensions=3), idx_array(_bytes(place, beside), dimensions=1)
    if len(images) != len(labels):
        raise DataError(f"{len(images)} images and {len(labels)} labels of {split}; they should be as many")
    if images.shape[1] != images.shape[2]:
        raise DataError(f"expected square images, got {images.shape[1]} x {images.shape[2]}")
    return ArrayPart(images=images, labels=np.array([str(digit) for digit in range(256)])[labels], split=split)


def _bytes(place: Place, name: str) -> bytes:
    try:
        data = place.source.read(name, most=MOST)
    except FileNotFoundError as error:
        raise DataError(f"{PurePosixPath(name).name} is gone or leads out of the source") from error
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return file.read(MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{PurePosixPath(name).name} is a damaged gzip file; fetch it again") from error


def idx_array(data: bytes, *, dimensions: int) -> np.ndarray:
    """Return the array in an idx file of unsigned bytes.

    Raises:
        DataError: not such a file, or not as long as it says.
    """
    if data[:4] != bytes((0, 0, 8, dimensions)) or len(data) < 4 + 4 * dimensions:
        raise DataError(f"expected an idx file of unsigned bytes in {dimensions} dimensions, got something else")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    expected = 4 + 4 * dimensions + int(np.prod(np.array(shape, dtype=object)))
    if len(data) != expected or expected > MOST:
        raise DataError(f"the idx file has {len(data)} bytes; its header says {expected}")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
