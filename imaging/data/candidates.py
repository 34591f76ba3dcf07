"""One image on its way into a dataset: read, decoded, squared, described, or set aside with the reason."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from imaging.data.label_tables import Entry
from imaging.data.pseudonyms import pseudonym
from imaging.data.sources import Source
from imaging.data.transforms import to_square_uint8
from imaging.dicom.image import DecodedImage, Limits
from imaging.dicom.pixels import decode
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
AT_ONCE = 128
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
    """(S, S) uint8; None once it lies on disk."""
    columns: dict[str, str | int] = field(repr=False)
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

    def read_all(self, entries: Sequence[Entry], *, workers: int) -> Iterator[Candidate | Problem]:
        """Yield one result an entry, in order, with `workers` threads (the decoders release the GIL)."""
        with ThreadPoolExecutor(workers, thread_name_prefix="ingest") as pool:
            remaining = iter(entries)
            while batch := list(islice(remaining, AT_ONCE)):
                yield from pool.map(self.read, batch)

    def read(self, entry: Entry) -> Candidate | Problem:
        """Read one entry; whatever is wrong with its bytes becomes a problem."""
        if not entry.label:
            return _problem("missing_label", entry, "no label in its row")
        if is_lateral(entry.view):
            return _problem("not_a_chest_radiograph", entry, "the label table says it is not a frontal view")
        try:
            data = self.source.read(entry.file, most=self.limits.max_bytes)
        except FileNotFoundError:
            return _problem("missing_file", entry, "no such file in the source")
        except OSError as error:
            return _problem("unreadable", entry, f"the file cannot be read ({type(error).__name__})")
        try:
            image = decode(data, limits=self.limits)
        except InvalidImageError as error:
            return _problem(_kind(error), entry, str(error), sha256=hashlib.sha256(data).hexdigest()[:12])
        packed = to_square_uint8(image.pixels, self.size)
        return Candidate(
            row=entry.row,
            sha256=image.sha256.removeprefix("sha256:")[:12],
            packed=packed,
            columns=self._columns(entry, image, "sha256:" + hashlib.sha256(packed.tobytes()).hexdigest()),
            warnings=image.warnings if entry.patient_id or image.patient_id else (*image.warnings, "patient_unknown"),
        )

    def _columns(self, entry: Entry, image: DecodedImage, pixel_sha256: str) -> dict[str, str | int]:
        """Return the row of the table: the label table's word first, then the header's."""
        age = age_in_years(entry.age)
        # Where nobody says whose image it is, it stands for itself.
        patient = entry.patient_id or image.patient_id
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
            "rows": image.rows,
            "columns": image.columns,
            "pixel_sha256": pixel_sha256,
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
