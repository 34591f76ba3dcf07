"""`decode`: the one way from the bytes of an image file to grey values, in training and in serving.

For any bytes at all it returns a `DecodedImage` or raises an `InvalidImageError` with a code; it
never raises anything else, and no message repeats free text of the header. `decode_colour` does the same for
pictures that are no radiographs.
"""

import hashlib
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from imaging.dicom.codecs import stored_values
from imaging.dicom.grey_values import to_grey
from imaging.dicom.image import DICOM, JPEG, PNG, ColourImage, DecodedImage, Limits
from imaging.dicom.pictures import decode_picture, decode_rgb
from imaging.dicom.quality import check_not_blank, check_quality
from imaging.dicom.reading import read_dataset
from imaging.dicom.screening import screen
from imaging.errors import ImageTooLargeError, InvalidImageError, MalformedImageError, UnsupportedMediaTypeError

__all__ = ["ColourImage", "DecodedImage", "Limits", "decode", "decode_colour", "sniff"]

Image = TypeVar("Image", DecodedImage, ColourImage)


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes show, or None."""
    if data[128:132] == b"DICM":
        return DICOM
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    return None


def decode(data: bytes, *, media_type: str | None = None, limits: Limits = Limits()) -> DecodedImage:  # noqa: B008
    """Decode a chest radiograph to grey values.

    Args:
        data: A whole DICOM (any common transfer syntax), PNG (8 or 16 bit) or JPEG file.
        media_type: What the sender called it. The bytes decide; this only words the refusal.
        limits: The most that is decoded.

    Raises:
        InvalidImageError: one of its kinds, for every input that is not a readable frontal chest radiograph.
    """
    kind = _kind(data, media_type, limits)
    return _coded(kind, lambda: _decode_dicom(data, limits) if kind == DICOM else _decode_picture(data, kind, limits))


def decode_colour(data: bytes, *, limits: Limits = Limits()) -> ColourImage:  # noqa: B008
    """Decode a picture of anything (PNG or JPEG) to RGB, turned as its EXIF says.

    Args:
        data: A whole file.
        limits: The most that is decoded.

    Raises:
        InvalidImageError: one of its kinds, for every input that is not a readable picture.
    """
    kind = _kind(data, None, limits)
    if kind == DICOM:
        raise UnsupportedMediaTypeError("expected a PNG or JPEG picture, got a DICOM file")
    return _coded(kind, lambda: _decode_colour(data, kind, limits))


def _kind(data: bytes, media_type: str | None, limits: Limits) -> str:
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"{len(data)} bytes; at most {limits.max_bytes} are read")
    kind = sniff(data)
    if kind is None:
        raise _unknown(data, media_type)
    return kind


def _coded(kind: str, decoded: Callable[[], Image]) -> Image:
    """Return what `decoded` gives; whatever it raises becomes a coded refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decoded()
    except InvalidImageError:
        raise
    except MemoryError as error:
        raise ImageTooLargeError("the image does not fit in memory") from error
    except Exception as error:
        # Decoders raise what they like for damaged bytes: this is the border where it gets a code.
        raise MalformedImageError(f"the {kind} file is damaged ({type(error).__name__})") from error


def _unknown(data: bytes, media_type: str | None) -> InvalidImageError:
    declared = (media_type or "").split(";")[0].strip().lower()
    if not data:
        return MalformedImageError("expected a DICOM, PNG or JPEG file, got no bytes")
    if declared in (DICOM, PNG, JPEG):
        return MalformedImageError(f"declared {declared}, but the bytes are not; send the whole file")
    return UnsupportedMediaTypeError("expected a DICOM (Part 10), PNG or JPEG file, got something else")


def _decode_dicom(data: bytes, limits: Limits) -> DecodedImage:
    dataset = read_dataset(data, limits)
    header = screen(dataset, limits)
    grey, doubts = to_grey(stored_values(dataset), dataset)
    return DecodedImage(
        pixels=np.ascontiguousarray(grey, np.float32),
        media_type=DICOM,
        sha256=_digest(data),
        rows=grey.shape[0],
        columns=grey.shape[1],
        modality=header.modality,
        view=header.view,
        body_part=header.body_part,
        manufacturer=header.manufacturer,
        site=header.site,
        warnings=(*header.warnings, *doubts, *check_quality(grey)),
        patient_id=header.patient_id,
        sex=header.sex,
        age_years=header.age_years,
    )


def _decode_picture(data: bytes, kind: str, limits: Limits) -> DecodedImage:
    grey, doubts = decode_picture(data, limits)
    return DecodedImage(
        pixels=np.ascontiguousarray(grey, np.float32),
        media_type=kind,
        sha256=_digest(data),
        rows=grey.shape[0],
        columns=grey.shape[1],
        warnings=(*doubts, *check_quality(grey)),
    )


def _decode_colour(data: bytes, kind: str, limits: Limits) -> ColourImage:
    rgb, is_grey = decode_rgb(data, limits)
    check_not_blank(rgb.reshape(-1, 3).std(axis=0).max() / 255)
    return ColourImage(pixels=rgb, is_grey=is_grey, media_type=kind, sha256=_digest(data))


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
