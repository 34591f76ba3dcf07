"""Thousands of spoilt files through the decoding processes: each gets a square or a refusal, and no other notices.

`THORAX_FUZZ_FILES` says how many; `make fuzz` asks for 20,000. A file that once hurt is kept in `HURT`.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import uid

from imaging.dicom.pixels import Limits
from imaging.errors import InvalidImageError
from serving.decoding.decoders import Decoders, DecodingLimits
from serving.decoding.square import REFUSALS, DecodedSquare, Encoded, decode_square
from tests.imaging.dicom.conftest import chest, dicom
from tests.serving.factories import bad_bytes, jpeg, png

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(1500)]

FILES = int(os.environ.get("THORAX_FUZZ_FILES", "3000"))
SIZE = 64
BATCH = 16
SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGExtended12Bit,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
HURT: dict[str, bytes] = {}
"""Files that once did more than be refused."""


def corpus() -> dict[str, bytes]:
    """Good files of every kind that is read, and the bad ones that other tests know."""
    grey = (chest() >> 4).astype(np.uint8)
    files = {str(syntax): dicom(syntax=syntax) for syntax in SYNTAXES}
    files |= {"png": png(grey), "png16": png(chest() << 4), "jpeg": jpeg(grey)}
    return files | {name: data for name, (data, _, _) in bad_bytes().items()} | HURT


def spoilt(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with one to four things done to it."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if len(found) < 8:
            found += bytes(8)
        # most of what decides is in the first kilobyte
        end = min(len(found), 1200) if rng.random() < 0.7 else len(found)
        place = int(rng.integers(0, end - 4))
        match rng.integers(0, 7):
            case 0:
                found[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                found[place] = int(rng.integers(0, 256))
            case 2:
                found[place : place + 4] = struct.pack("<I", WORDS[int(rng.integers(0, len(WORDS)))])
            case 3:
                del found[place : place + int(rng.integers(1, 64))]
            case 4:
                found[place:place] = rng.bytes(int(rng.integers(1, 64)))
            case 5:
                found[place:place] = found[place : place + int(rng.integers(1, 256))]
            case _:
                del found[place + 4 :]
    return bytes(found)


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(DecodingLimits(image=Limits(max_pixels=4_000_000), seconds=10, memory_bytes=2**30))
    yield pool
    pool.close()


def test_no_spoilt_file_gets_anything_but_a_square_or_a_refusal_and_no_neighbour_notices(decoders, capsys) -> None:
    files, rng = list(corpus().values()), np.random.default_rng(20)
    good = Encoded(data=dicom())
    expected = decode_square(good, SIZE, Limits()).pixels
    before = psutil.Process().memory_info().rss
    codes: Counter[str] = Counter()
    for _ in range(0, FILES, BATCH):
        batch = [Encoded(data=spoilt(files[int(rng.integers(0, len(files)))], rng)) for _ in range(BATCH)]
        *found, neighbour = decoders.decode([*batch, good], SIZE)
        for outcome in found:
            assert isinstance(outcome, DecodedSquare | InvalidImageError), type(outcome)
            codes[outcome.code if isinstance(outcome, InvalidImageError) else "read"] += 1
        assert isinstance(neighbour, DecodedSquare)
        assert np.array_equal(neighbour.pixels, expected)
    assert sum(codes.values()) >= FILES
    assert set(codes) <= {*REFUSALS, "read"}
    assert len(codes) > 3  # the files are neither all unreadable nor all untouched
    assert psutil.Process().memory_info().rss - before < 300 * 2**20
    with capsys.disabled():
        print(f"\n{sum(codes.values())} spoilt files: {dict(codes.most_common())}")  # noqa: T201


def test_real_radiographs_spoilt_are_read_or_refused(decoders, real_data: Path) -> None:
    rng = np.random.default_rng(7)
    for file in sorted((real_data / "dicom").rglob("*.dcm")):
        batch = [Encoded(data=spoilt(file.read_bytes(), rng)) for _ in range(max(4, FILES // 300))]
        found = decoders.decode(batch, SIZE)
        assert all(isinstance(one, DecodedSquare | InvalidImageError) for one in found), file.name
