"""One image from a caller's bytes to the square that the network is fed, and how that goes over a pipe."""

import json
import struct
from dataclasses import dataclass, field, fields

import numpy as np

from imaging.data.transforms import to_square_uint8
from imaging.dicom.pixels import Limits, decode
from imaging.errors import (
    ImageQualityError,
    ImageTooLargeError,
    InvalidImageError,
    MalformedImageError,
    NotAChestRadiographError,
    UnsupportedMediaTypeError,
)

LENGTH = struct.Struct(">I")
READY = LENGTH.pack(0)
"""What a decoding process says first."""
REFUSALS: dict[str, type[InvalidImageError]] = {
    kind.code: kind
    for kind in (
        MalformedImageError,
        ImageTooLargeError,
        UnsupportedMediaTypeError,
        NotAChestRadiographError,
        ImageQualityError,
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """An image as it came; `media_type` is what its sender called it, None where nobody did."""

    data: bytes = field(repr=False)
    media_type: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a decoding process is told about the image that it shall decode."""

    length: int
    """Of the file, in bytes."""
    media_type: str | None
    size: int
    """Side of the square, in pixels."""
    max_bytes: int
    max_pixels: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedSquare:
    """What is kept of a decoded image: nothing of the patient."""

    pixels: np.ndarray = field(repr=False)
    """(size, size) uint8, as packed for training."""
    media_type: str
    sha256: str
    rows: int
    columns: int
    modality: str = ""
    view: str = ""
    manufacturer: str = ""
    site: str = ""
    warnings: tuple[str, ...] = ()


def decode_square(image: Encoded, size: int, limits: Limits) -> DecodedSquare:
    """Decode an image and resize it as ingest does.

    Args:
        image: A whole DICOM, PNG or JPEG file.
        size: Side of the square, in pixels.
        limits: The most that is decoded.

    Raises:
        InvalidImageError: one of its kinds, for every input that is not a readable frontal chest radiograph.
    """
    decoded = decode(image.data, media_type=image.media_type, limits=limits)
    kept = {one.name: getattr(decoded, one.name) for one in fields(DecodedSquare) if one.name != "pixels"}
    return DecodedSquare(pixels=to_square_uint8(decoded.pixels, size), **kept)


def to_message(outcome: DecodedSquare | InvalidImageError, size: int) -> bytes:
    """Return an outcome as the length of its facts, the facts as JSON, and `size` * `size` pixels."""
    if isinstance(outcome, InvalidImageError):
        facts: dict[str, object] = {"code": outcome.code, "detail": str(outcome)}
        pixels = bytes(size * size)
    else:
        facts = {one.name: getattr(outcome, one.name) for one in fields(outcome) if one.name != "pixels"}
        pixels = outcome.pixels.tobytes()
    text = json.dumps(facts).encode()
    return LENGTH.pack(len(text)) + text + pixels


def from_json(text: bytes, pixels: np.ndarray) -> DecodedSquare | InvalidImageError:
    """Return the outcome of `to_message` from its facts and its pixels (size, size)."""
    facts = json.loads(text)
    if "code" in facts:
        return REFUSALS[facts["code"]](facts["detail"])
    return DecodedSquare(pixels=pixels, **{**facts, "warnings": tuple(facts["warnings"])})
