"""Is this data set one frontal chest radiograph? Answered from the header alone, before any pixel is decoded.

A missing attribute is common in honest files (ViewPosition is absent in 4 % of MIMIC-CXR), so only
what is said and wrong is refused; what is not said becomes a warning or an empty value.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from pydicom import uid
from pydicom.dataset import Dataset

from imaging.dicom.image import Limits
from imaging.errors import ImageQualityError, ImageTooLargeError, MalformedImageError, NotAChestRadiographError

MODALITIES = {"CR", "DX", "RG"}
SOP_CLASSES = {
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    # Public collections (NIH, RSNA) keep their radiographs as secondary captures with modality CR or DX.
    uid.SecondaryCaptureImageStorage,
}
CHEST = re.compile(r"CHEST|THORA|LUNG|CXR")
SPINE = re.compile(r"SPINE|LUMB|VERTEB")
"""Looked for before the chest is: THORACIC SPINE and THORACOLUMBAR name a chest word, and are none."""
CHEST_CODES = {"51185008", "T-D3000", "39607008", "T-28000", "43799004"}
"""Thorax and lung: SNOMED CT and the older SRT codes (PS3.16 CID 4031)."""
NOT_FRONTAL = re.compile(r"^(LL|RL|LLD|RLD|LLO|RLO|LAO|RAO|LPO|RPO|L|R)$|LAT|OBL")
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "StudyDescription")
MANUFACTURERS = ("AGFA", "CANON", "CARESTREAM", "FUJI", "GE", "HOLOGIC", "KODAK", "KONICA", "PHILIPS", "SAMSUNG",
                 "SHIMADZU", "SIEMENS", "THORAX", "TOSHIBA")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a header says that may be kept."""

    modality: str
    view: str
    body_part: str
    manufacturer: str
    site: str
    warnings: tuple[str, ...]
    patient_id: str = field(repr=False)
    sex: str = field(repr=False)
    age_years: float | None = field(repr=False)


def screen(dataset: Dataset, limits: Limits) -> Header:
    """Return the kept part of a frontal chest radiograph's header.

    Raises:
        NotAChestRadiographError: another modality, body part or view, colour, several frames, raw detector data.
        ImageTooLargeError, ImageQualityError: the size is out of bounds.
        MalformedImageError: no pixel data, or no size.
    """
    warnings: list[str] = []
    modality = text(dataset, "Modality").upper()
    _check_kind(dataset, modality)
    _check_frame(dataset, limits)
    body_part = _body_part(dataset, warnings)
    view = _view(dataset, warnings)
    return Header(
        modality=modality,
        view=view,
        body_part=body_part,
        manufacturer=coarse_manufacturer(text(dataset, "Manufacturer")),
        site=coarse_site(text(dataset, "InstitutionName")),
        warnings=tuple(warnings),
        patient_id=text(dataset, "PatientID"),
        sex=normal_sex(text(dataset, "PatientSex")),
        age_years=age_in_years(text(dataset, "PatientAge")),
    )


def text(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as one string; empty where it is absent, empty or unreadable."""
    try:
        value: Any = dataset.get(keyword)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = "\\".join(str(part) for part in value)
    return "" if value is None else str(value).strip("\0 \t\r\n")


def _check_kind(dataset: Dataset, modality: str) -> None:
    kind = text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID")
    if modality not in MODALITIES:
        raise NotAChestRadiographError(f"expected modality CR, DX or RG, got {_quotable(modality)}")
    if kind and kind not in SOP_CLASSES:
        name = uid.UID(kind).name if kind in uid.UID_dictionary else "an unknown class"
        raise NotAChestRadiographError(f"expected a CR or DX image for presentation, got {name}")
    if text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING":
        raise NotAChestRadiographError("expected an image for presentation, got raw detector data (FOR PROCESSING)")
    if "LOCALIZER" in text(dataset, "ImageType").upper():
        raise NotAChestRadiographError("expected a radiograph, got a localizer")


def _check_frame(dataset: Dataset, limits: Limits) -> None:
    frames = text(dataset, "NumberOfFrames") or "1"
    if frames != "1":
        raise NotAChestRadiographError("expected one frame, got several")
    photometric = text(dataset, "PhotometricInterpretation")
    if text(dataset, "SamplesPerPixel") not in ("", "1") or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise NotAChestRadiographError(f"expected a greyscale image, got {_quotable(photometric)}")
    sizes = [dataset.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    if not all(isinstance(size, int) and size > 0 for size in sizes) or not dataset.get("PixelData"):
        raise MalformedImageError("the DICOM file has no pixel data, or does not say its size")
    check_size(int(sizes[0]), int(sizes[1]), limits)


def check_size(rows: int, columns: int, limits: Limits) -> None:
    """Refuse a picture with too many or too few pixels, before it is decoded."""
    if rows * columns > limits.max_pixels:
        raise ImageTooLargeError(f"{rows} x {columns} pixels; at most {limits.max_pixels} are read")
    if min(rows, columns) < limits.min_side:
        raise ImageQualityError(f"{rows} x {columns} pixels; the shorter side must have {limits.min_side}")


def _body_part(dataset: Dataset, warnings: list[str]) -> str:
    said = text(dataset, "BodyPartExamined").upper()
    regions = dataset.get("AnatomicRegionSequence") or []
    codes = {text(region, "CodeValue") for region in regions if isinstance(region, Dataset)}
    described = " ".join(text(dataset, keyword) for keyword in DESCRIPTIONS).upper()
    if SPINE.search(said or described):
        raise NotAChestRadiographError("expected body part CHEST, got the spine")
    if CHEST.search(said) or codes & CHEST_CODES or (not said and CHEST.search(described)):
        return "CHEST"
    if said:
        raise NotAChestRadiographError(f"expected body part CHEST, got {_quotable(said)}")
    warnings.append("body_part_unknown")
    return ""


def _view(dataset: Dataset, warnings: list[str]) -> str:
    said = text(dataset, "ViewPosition").upper()
    described = " ".join(text(dataset, keyword) for keyword in DESCRIPTIONS[:2]).upper()
    if NOT_FRONTAL.search(said) or (not said and re.search(r"\bLAT(ERAL)?\b", described)):
        raise NotAChestRadiographError("expected a frontal view (PA or AP), got a lateral or oblique one")
    view = normal_view(said)
    if said and not view:
        warnings.append("view_unrecognised")
    return view


def is_lateral(view: str) -> bool:
    """Return whether a view position names a lateral or oblique projection."""
    return bool(NOT_FRONTAL.search(view.strip().upper()))


def normal_view(view: str) -> str:
    """Return `PA` or `AP` for every spelling of a frontal view (`AP Supine`, `PA_ERECT`), else nothing."""
    found = re.match(r"(PA|AP)(?![A-Z])", view.strip().upper())
    return found.group(1) if found else ""


def normal_sex(sex: str) -> str:
    """Return `M`, `F` or `O` (PS3.3 C.7.1.1), else nothing."""
    first = sex.strip().upper()[:1]
    return first if first in {"M", "F", "O"} else ""


def age_in_years(age: str) -> float | None:
    """Read an age: DICOM's `058Y`, `006M`, plain years `58`, or the middle of a span `1-5`."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)(?:\s*-\s*(\d{1,3}))?\s*([DWMY]?)", age.strip().upper())
    if not found:
        return None
    low, high, unit = found.groups()
    years = (float(low) + float(high or low)) / 2 / {"D": 365.25, "W": 52.18, "M": 12.0}.get(unit, 1.0)
    return years if years <= 130 else None


def coarse_manufacturer(name: str) -> str:
    """Return one word for the maker: a known one, `OTHER`, or nothing."""
    words = re.sub(r"[^A-Z]+", " ", name.upper()).split()
    for maker in MANUFACTURERS:
        if any(word.startswith(maker) if len(maker) > 2 else word == maker for word in words):
            return maker
    return "OTHER" if words else ""


def coarse_site(name: str) -> str:
    """Return the institution in at most 32 harmless characters."""
    return re.sub(r"[^\w .-]+", " ", name).strip()[:32]


def _quotable(value: str) -> str:
    """Return a code string that may be shown; free text, which could hold anything, is not repeated."""
    return repr(value) if re.fullmatch(r"[A-Z0-9_]{1,16}", value) else "something else"
