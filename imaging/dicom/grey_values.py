"""Stored values to the grey values a reader sees: modality LUT, VOI LUT or window, presentation (PS3.3 C.11).

A window that is missing, absurd or unreadable is replaced by the span of the central 99 % of the
pixels, and the result carries a warning that says so.
"""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from imaging.dicom.screening import text
from imaging.errors import ImageQualityError, MalformedImageError

PERCENTILES = (0.5, 99.5)
MOST_CLIPPED = 0.8
"""A window that turns more of the image than this black or white is not the one it was read with."""
LEAST_SPREAD = 0.05
EVERY = 4
"""Of the sample of up to two million pixels, which of them say whether a window shows anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One window of a header (PS3.3 C.11.2.1.2): centre, width, and the function between."""

    centre: float
    width: float
    function: str = "LINEAR"

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Map modality values to [0, 1]."""
        grey = np.asarray(values - np.float32(self.centre))
        if self.function == "SIGMOID":
            return 1 / (1 + np.exp(np.clip(-4 * grey / self.width, -80, 80)))
        # in place: an image has many millions of pixels
        if self.function == "LINEAR_EXACT":
            grey /= self.width
        else:
            grey += 0.5
            grey /= max(self.width - 1, 1e-6)
        grey += 0.5
        return np.clip(grey, 0, 1, out=grey)


def to_grey(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """Turn stored values (int32) into float32 in [0, 1] with air dark, and list the doubts about it.

    Raises:
        ImageQualityError: nothing but padding, or one value.
        MalformedImageError: a modality table that cannot be read.
    """
    warnings: list[str] = []
    padding = _padding(stored, dataset)
    values = _modality_values(stored, dataset)
    valid = values if padding is None else values[~padding]
    if valid.size < 0.05 * values.size or float(valid.max()) == float(valid.min()):
        raise ImageQualityError("the image is blank: every pixel has the same value")
    grey = _voi(values, valid, dataset, warnings)
    if _is_negative(dataset, warnings):
        grey = 1 - grey
    if padding is not None:
        grey[padding] = 0
    return np.asarray(grey, np.float32), warnings


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Return where the pixels are padding (PS3.3 C.7.5.1.1.2), or None where nowhere."""
    value, limit = number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    ends = [value, value if limit is None else limit]
    if dataset.get("PixelRepresentation") == 1:
        ends = [end - 65536 if end > 32767 else end for end in ends]
    where = (stored >= min(ends)) & (stored <= max(ends))
    return where if where.any() else None


def _modality_values(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    table = _table(dataset, "ModalityLUTSequence")
    if table is not None:
        first, entries, _ = table
        return entries[np.clip(stored - first, 0, len(entries) - 1)]
    if dataset.get("ModalityLUTSequence"):
        raise MalformedImageError("the modality LUT cannot be read")
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    values = stored.astype(np.float32)
    if (slope or 1) != 1:
        values *= np.float32(slope or 1)
    if intercept:
        values += np.float32(intercept)
    return values


def _voi(values: np.ndarray, valid: np.ndarray, dataset: Dataset, warnings: list[str]) -> np.ndarray:
    """Apply the VOI LUT, else the first window, else the whole range of 8 bits, else the percentiles."""
    sample = valid.reshape(-1)[:: max(1, valid.size // 1_000_000)]
    table = _table(dataset, "VOILUTSequence")
    if table is not None:
        first, entries, top = table
        index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)
        chosen = np.clip(np.rint(sample).astype(np.int64) - first, 0, len(entries) - 1)
        if _shows_something(entries[chosen] / top):
            return entries[index] / top
        warnings.append("voi_lut_ignored")
    window = _window(dataset)
    if window is None and table is None and dataset.get("BitsStored") == 8 and not text(dataset, "WindowWidth"):
        window = Window(centre=127.5, width=255, function="LINEAR_EXACT")
    if window is not None and _shows_something(window.apply(sample)):
        return window.apply(values)
    warnings.append("window_ignored" if text(dataset, "WindowWidth") else "window_missing")
    return stretch(values, sample)


def stretch(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Map the central 99 % of `sample` to [0, 1]; the whole range where that is a single value."""
    low, high = np.percentile(sample, PERCENTILES)
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)


def _window(dataset: Dataset) -> Window | None:
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    return Window(centre=centre, width=width, function=function)


def _shows_something(grey: np.ndarray) -> bool:
    grey = grey[::EVERY]
    clipped = float(((grey < 0.005) | (grey > 0.995)).mean())
    low, high = np.percentile(grey, (1, 99))
    return clipped <= MOST_CLIPPED and high - low >= LEAST_SPREAD


def _is_negative(dataset: Dataset, warnings: list[str]) -> bool:
    """Return whether low values are to be shown bright. INVERSE belongs to MONOCHROME1 and never inverts it twice."""
    shape = text(dataset, "PresentationLUTShape").upper()
    is_monochrome1 = text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    if shape in ("INVERSE", "IDENTITY") and is_monochrome1 != (shape == "INVERSE"):
        warnings.append("polarity_conflict")
    return is_monochrome1 or shape == "INVERSE"


def _table(dataset: Dataset, keyword: str) -> tuple[int, np.ndarray, float] | None:
    """Return the first value mapped, the entries (float32) and the greatest possible one, or None if unreadable."""
    try:
        item = dataset.get(keyword)[0]
        count, first, bits = (int(part) for part in item.LUTDescriptor)
        data = item.LUTData
    except (TypeError, ValueError, IndexError, AttributeError, KeyError):
        return None
    if isinstance(data, bytes):
        entries = np.frombuffer(data, "<u2" if len(data) >= 2 * (count or 65536) else "u1", -1)
    else:
        entries = np.atleast_1d(np.asarray(data)).astype(np.uint16)
    if dataset.get("PixelRepresentation") == 1 and first > 32767:
        first -= 65536
    if not 1 <= bits <= 16 or len(entries) < (count or 65536):
        return None
    entries = entries[: count or 65536].astype(np.float32)
    return first, entries, max(float((1 << bits) - 1), float(entries.max()))


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return a finite number, the first of several, or None where there is none to read."""
    try:
        value = float(text(dataset, keyword).split("\\")[0])
    except ValueError:
        return None
    return value if np.isfinite(value) else None
