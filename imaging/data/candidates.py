"""One image on its way into a dataset: read, decoded, squared, described, or set aside with the reason."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from imaging.data.label_tables import Entry
from imaging.data.pseudonyms import pseudonym
from imaging.data.sources import Source
from imaging.data.statistics import STATISTICS, image_statistics, luminance
from imaging.data.transforms import to_square_rgb_uint8, to_square_uint8
from imaging.dicom.image import ColourImage, DecodedImage, Limits
from imaging.dicom.pixels import decode, decode_colour
from imaging.dicom.screening import age_in_years, coarse_manufacturer, coarse_site, is_lateral, normal_sex, normal_view
from imaging.errors import ImageQualityError, ImageTooLargeError, InvalidImageError, NotAChestRadiographError

PROBLEMS = {
    "unreadable": "Damaged, or not DICOM, PNG or JPEG",
    "too_large": "More bytes or pixels than the limits allow",
    "too_small": "The shorter side has too few pixels",
    "blank": "Every pixel is nearly the same",
    "not_a_chest_radiograph": "Another modality, body part or view, colour, or several frames",
    "duplicate_pixels": "The same picture as another one, which was kept",
    "label_conflict": "The same picture under two labels; none was kept",
    "missing_file": "In the label table, but not in the source",
    "missing_label": "In the label table, but without a label",
}
"""Every way to be set aside, in the order of the report."""
NAME_OF_A_COLLECTION = re.compile(r"(?!.*\d{5})[A-Za-z0-9 ._/(),-]{1,80}")
"""What a source may be called; five digits in a row may be a patient's number or a birthday."""
AGE_BANDS = ((18, "0-17"), (40, "18-39"), (65, "40-64"), (float("inf"), "65+"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """An image that was set aside. It is found again by its row and the start of its file's SHA-256."""

    kind: str
    row: int
    label: str
    reason: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A usable image, squared, with the row it becomes."""

    row: int
    sha256: str
    packed: np.ndarray | None = field(repr=False)
    """uint8, (S, S) of a radiograph or (S, S, 3) of a picture; None once it lies on disk."""
    columns: dict[str, str | int | float] = field(repr=False)
    is_grey: bool = True
    warnings: tuple[str, ...] = ()
    position: int = -1
    """Its place among the images on disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """How entries become candidates."""

    source: Source
    size: int
    limits: Limits
    key: bytes = field(repr=False)
    subject: Literal["radiograph", "picture"] = "radiograph"
    grey: bool = False
    """Whether pictures are to lose their colours."""

    def read(self, entry: Entry) -> Candidate | Problem:
        """Read one entry; whatever is wrong with its bytes becomes a problem."""
        if not entry.label:
            return _problem("missing_label", entry, "no label in its row")
        if self.subject == "radiograph" and is_lateral(entry.view):
            return _problem("not_a_chest_radiograph", entry, "the label table says it is not a frontal view")
        try:
            data = self.source.read(entry.file, most=self.limits.max_bytes)
        except FileNotFoundError:
            return _problem("missing_file", entry, "no such file in the source")
        except OSError as error:
            return _problem("unreadable", entry, f"the file cannot be read ({type(error).__name__})")
        try:
            if self.subject == "picture":
                return self._picture(entry, decode_colour(data, limits=self.limits))
            return self._radiograph(entry, decode(data, limits=self.limits))
        except InvalidImageError as error:
            return _problem(_kind(error), entry, str(error), sha256=hashlib.sha256(data).hexdigest()[:12])

    def _radiograph(self, entry: Entry, image: DecodedImage) -> Candidate:
        packed = to_square_uint8(image.pixels, self.size)
        return Candidate(
            row=entry.row,
            sha256=image.sha256.removeprefix("sha256:")[:12],
            packed=packed,
            columns=self._columns(entry, image, packed),
            warnings=image.warnings if entry.patient_id or image.patient_id else (*image.warnings, "patient_unknown"),
        )

    def _picture(self, entry: Entry, image: ColourImage) -> Candidate:
        packed = to_square_rgb_uint8(image.pixels, self.size)
        if self.grey and not image.is_grey:
            packed = np.repeat(luminance(packed[None])[0][..., None], 3, axis=2)
        is_grey = self.grey or image.is_grey
        rows, columns = image.pixels.shape[:2]
        shown = DecodedImage(
            pixels=packed, media_type=image.media_type, sha256=image.sha256, rows=rows, columns=columns
        )
        return Candidate(
            row=entry.row,
            sha256=image.sha256.removeprefix("sha256:")[:12],
            packed=packed,
            columns=self._columns(entry, shown, np.ascontiguousarray(packed[..., 0]) if is_grey else packed),
            is_grey=is_grey,
        )

    def _columns(self, entry: Entry, image: DecodedImage, packed: np.ndarray) -> dict[str, str | int | float]:
        """Return the row of the table: the label table's word first, then the header's."""
        age = age_in_years(entry.age)
        pixel_sha256 = "sha256:" + hashlib.sha256(packed.tobytes()).hexdigest()
        # Where nobody says whose image it is, it stands for itself.
        patient = entry.patient_id or image.patient_id
        described = image_statistics(packed[None])
        return {
            "label": entry.label,
            "patient": pseudonym(patient or f"image {pixel_sha256}", self.key),
            "view": normal_view(entry.view) or image.view,
            "sex": normal_sex(entry.sex) or image.sex,
            "age_band": age_band(image.age_years if age is None else age),
            "site": coarse_site(entry.site) or image.site,
            "manufacturer": coarse_manufacturer(entry.manufacturer) or image.manufacturer,
            "modality": image.modality,
            "source": coarse_source(entry.source, self.key),
            "split_hint": entry.split,
            "lesions": entry.lesions,
            "lungs": entry.lungs,
            "rows": image.rows,
            "columns": image.columns,
            "pixel_sha256": pixel_sha256,
            **{name: float(described[name][0]) for name in STATISTICS},
        }


def coarse_source(name: str, key: bytes) -> str:
    """Return a collection's ordinary name, else a keyed hash: sources stay apart, free text is not kept."""
    name = name.strip()
    return name if not name or NAME_OF_A_COLLECTION.fullmatch(name) else f"source-{pseudonym(name, key)[:8]}"


def age_band(years: float | None) -> str:
    """Return the band of an age, or nothing where it is unknown."""
    return "" if years is None else next(name for below, name in AGE_BANDS if years < below)


def _problem(kind: str, entry: Entry, reason: str, sha256: str = "") -> Problem:
    return Problem(kind=kind, row=entry.row, label=entry.label, reason=reason, sha256=sha256)


def _kind(error: InvalidImageError) -> str:
    if isinstance(error, ImageQualityError):
        return "blank" if "blank" in str(error) else "too_small"
    if isinstance(error, ImageTooLargeError):
        return "too_large"
    return "not_a_chest_radiograph" if isinstance(error, NotAChestRadiographError) else "unreadable"
