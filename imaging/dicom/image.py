"""What decoding is given and what it gives: `Limits` in, `DecodedImage` or `ColourImage` out."""

from dataclasses import dataclass, field

import numpy as np

DICOM = "application/dicom"
PNG = "image/png"
JPEG = "image/jpeg"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The most, and the least, that is decoded."""

    max_bytes: int = 64 * 2**20
    max_pixels: int = 60_000_000
    min_side: int = 64
    """A shorter side below this is refused; one below 256 only gets the warning `low_resolution`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedImage:
    """One radiograph as it is to be looked at, and the little of its header that may be kept."""

    pixels: np.ndarray = field(repr=False)
    """(rows, columns) float32 in [0, 1]; air dark, bone bright, as in MONOCHROME2."""
    media_type: str
    sha256: str
    """`sha256:` of the bytes that were decoded."""
    rows: int
    columns: int
    modality: str = ""
    view: str = ""
    """`PA`, `AP`, or empty where unknown."""
    body_part: str = ""
    manufacturer: str = ""
    site: str = ""
    warnings: tuple[str, ...] = ()
    """Stable codes of what makes the picture doubtful; see the README of this folder."""
    patient_id: str = field(default="", repr=False)
    """As written in the header: for ingest, which hashes it; nothing else may keep it."""
    sex: str = field(default="", repr=False)
    age_years: float | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourImage:
    """One picture of anything, the right way up."""

    pixels: np.ndarray = field(repr=False)
    """(rows, columns, 3) uint8 RGB."""
    is_grey: bool
    """Whether the three channels are equal everywhere."""
    media_type: str
    sha256: str
    """`sha256:` of the bytes that were decoded."""
