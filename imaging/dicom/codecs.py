"""Stored samples of one frame, native or compressed, as integers of the right sign.

Compressed frames go straight to imagecodecs (BSD). pydicom's own chain tries one plugin after the
other, logs each failure, and lets JPEG-LS and RLE return a silently wrong crop when the header and
the codestream disagree on the size; here the codestream is asked for its size first.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from imaging.errors import MalformedImageError, UnsupportedMediaTypeError

NATIVE = {
    uid.ImplicitVRLittleEndian: "<",
    uid.ExplicitVRLittleEndian: "<",
    uid.ExplicitVRBigEndian: ">",
}
DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    uid.JPEGBaseline8Bit: imagecodecs.jpeg_decode,
    uid.JPEGExtended12Bit: imagecodecs.jpeg_decode,
    uid.JPEGLossless: imagecodecs.jpeg_decode,
    uid.JPEGLosslessSV1: imagecodecs.jpeg_decode,
    uid.JPEGLSLossless: imagecodecs.jpegls_decode,
    uid.JPEGLSNearLossless: imagecodecs.jpegls_decode,
    uid.JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    uid.JPEG2000: imagecodecs.jpeg2k_decode,
}
END_OF_CODESTREAM = b"\xff\xd9"
FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""SOF0-SOF15 without DHT, JPG and DAC (ISO 10918-1 table B.1), and JPEG-LS's SOF55."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameHeader:
    """What a codestream says about itself."""

    rows: int
    columns: int
    precision: int
    components: int


def stored_values(dataset: Dataset) -> np.ndarray:
    """Return the stored values (Rows, Columns) of a one-frame greyscale data set, int32.

    Bits outside Bits Stored (old overlays, rubbish) are masked away and the sign is extended.

    Raises:
        MalformedImageError: pixel data missing, too short, or not of the size the header says.
        UnsupportedMediaTypeError: a transfer syntax without a decoder.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    high = int(dataset.get("HighBit", stored - 1))
    if allocated not in (8, 16) or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise MalformedImageError(f"cannot read {stored} bits stored in {allocated}, highest bit {high}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        raw, shift = _native(dataset, rows * columns, allocated, NATIVE[syntax]), high + 1 - stored
    elif syntax == uid.RLELossless:
        raw, shift = _run_length(_frame(dataset), rows * columns, allocated), high + 1 - stored
    else:
        raw, precision = _compressed(_frame(dataset), syntax, rows, columns)
        stored, shift = max(stored, precision), 0
    values = raw.reshape(rows, columns).astype(np.int32)
    values >>= shift
    if int(values.max()) >= 1 << stored:
        values &= (1 << stored) - 1
    if dataset.get("PixelRepresentation") == 1:
        values = np.where(values >= 1 << (stored - 1), values - (1 << stored), values)
    return values


def _native(dataset: Dataset, count: int, allocated: int, order: str) -> np.ndarray:
    data = dataset.PixelData
    if len(data) < count * allocated // 8:
        raise MalformedImageError(f"pixel data is cut off: {count * allocated // 8} bytes expected, {len(data)} came")
    if allocated == 16:
        return np.frombuffer(data, f"{order}u2", count)
    samples = np.frombuffer(data, np.uint8)
    if order == ">" and dataset["PixelData"].VR == "OW" and len(samples) % 2 == 0:
        samples = samples.reshape(-1, 2)[:, ::-1].reshape(-1)
    return samples[:count]


def _frame(dataset: Dataset) -> bytes:
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def _run_length(frame: bytes, count: int, allocated: int) -> np.ndarray:
    """Decode DICOM RLE (PS3.5 annex G) into exactly `count` samples, never more."""
    size = count * allocated // 8
    data = imagecodecs.dicomrle_decode(frame, dtype=f"<u{allocated // 8}", out=size)
    if len(data) != size:
        raise MalformedImageError(f"the RLE frame holds {len(data)} bytes, the header says {size}")
    return np.frombuffer(data, f"<u{allocated // 8}")


def _compressed(frame: bytes, syntax: str, rows: int, columns: int) -> tuple[np.ndarray, int]:
    """Decode a JPEG, JPEG-LS or JPEG 2000 frame; return unsigned samples and the bits each has."""
    if syntax not in DECODERS:
        # A UID of nobody's could hold anything, so only a registered one is named.
        named = (
            f"the transfer syntax {uid.UID(syntax).name!r}" if syntax in uid.UID_dictionary else "its transfer syntax"
        )
        raise UnsupportedMediaTypeError(f"no decoder for {named}")
    header = frame_header(frame)
    if (header.rows, header.columns, header.components) != (rows, columns, 1):
        raise MalformedImageError(
            f"the codestream is {header.rows} x {header.columns} x {header.components}, "
            f"the header says {rows} x {columns} x 1"
        )
    if not frame.rstrip(b"\0").endswith(END_OF_CODESTREAM):
        raise MalformedImageError("the compressed frame is cut off: it has no end marker")
    samples = np.ascontiguousarray(DECODERS[syntax](frame))
    if samples.shape[:2] != (rows, columns) or samples.size != rows * columns or samples.dtype.itemsize > 2:
        raise MalformedImageError(f"the codestream decoded to {samples.shape} of {samples.dtype}")
    return samples.view(f"u{samples.dtype.itemsize}"), header.precision


def frame_header(frame: bytes) -> FrameHeader:
    """Read the size from a JPEG, JPEG-LS (SOF) or JPEG 2000 (SIZ, ISO 15444-1 A.5.1) codestream."""
    start = frame.find(b"\xff\x4f\xff\x51")
    if start >= 0 and not frame.startswith(b"\xff\xd8"):
        across, down, left, top = struct.unpack_from(">4I", frame, start + 8)
        components, depth = struct.unpack_from(">HB", frame, start + 40)
        return FrameHeader(rows=down - top, columns=across - left, precision=(depth & 0x7F) + 1, components=components)
    position = 2
    while frame.startswith(b"\xff\xd8") and position + 10 <= len(frame):
        if frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in FRAME_MARKERS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", frame, position + 4)
            return FrameHeader(rows=rows, columns=columns, precision=precision, components=components)
        else:
            position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    raise MalformedImageError("the compressed frame has no frame header")
