"""A folder of phantom DICOM files and their label table."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

from imaging.atomic import new_directory
from imaging.data.phantom.pathology import Shadow
from imaging.data.phantom.patients import Exposure, Patient, draw_patient
from imaging.data.phantom.picture import develop, irradiate
from imaging.data.phantom.styles import style_of
from imaging.data.phantom.writer import dicom_bytes
from imaging.data.regions import boxes_text
from imaging.errors import ConfigurationError

COLUMNS = ("file", "label", "patient_id", "view", "sex", "age", "site", "split", "lesions", "lungs")
RECIPE = "phantom.json"
"""What the folder was made from; a folder without it is never replaced."""


def write_phantom(
    out: Path,
    *,
    patients: int,
    seed: int = 0,
    size: int = 512,
    site: str = "A",
    device_shift: float = 0.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `images/*.dcm` and `labels.csv`; the same arguments give the same bytes.

    A patient depends on `seed` and `site` alone: `device_shift` shows the same patients on another device.

    Args:
        out: The folder to make. One made by an earlier call is replaced, whole or not at all.
        patients: How many; each has one to three pictures.
        seed: Makes other patients.
        size: Side of the pictures in pixels.
        site: A name; `A`, `B` and `C` have styles of their own, others get one made from the name.
        device_shift: 0 the site's devices as they are, 1 as far from them as they get.
        on_progress: Called with (patients done, patients in all).

    Returns:
        `out`.

    Raises:
        ConfigurationError: for a value out of range, or an `out` that holds something else.
    """
    _check(out, patients, size, site, device_shift)
    recipe = {"patients": patients, "seed": seed, "size": size, "site": site, "device_shift": device_shift}
    rows: list[dict[str, object]] = []
    with new_directory(out) as folder:
        (folder / "images").mkdir()
        for index in range(patients):
            patient = draw_patient(index, seed=seed, site=site)
            for exposure in patient.exposures:
                name = f"images/{len(rows) + 1:06d}.dcm"
                through = irradiate(patient, exposure, size=size)
                data = picture_file(through, patient, exposure, site=site, device_shift=device_shift)
                (folder / name).write_bytes(data)
                rows.append(_row(name, patient, exposure, site, through))
            if on_progress:
                on_progress(index + 1, patients)
        (folder / "labels.csv").write_text(_table(rows), encoding="utf-8")
        (folder / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    return out


def picture_file(
    through: Shadow, patient: Patient, exposure: Exposure, *, site: str, device_shift: float = 0.0
) -> bytes:
    """Return one picture as a DICOM file."""
    style = style_of(site, patient.device, shift=device_shift)
    shown = develop(through, exposure, style)
    return dicom_bytes(shown, patient, exposure, style, site=site, salt=f"{len(shown)}/{device_shift}")


def _row(name: str, patient: Patient, exposure: Exposure, site: str, through: Shadow) -> dict[str, object]:
    person = (patient.label, patient.identifier, exposure.view, patient.sex, patient.age, site, patient.side)
    places = (boxes_text(through.lesions), boxes_text(through.lungs))
    return dict(zip(COLUMNS, (name, *person, *places), strict=True))


def _table(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _check(out: Path, patients: int, size: int, site: str, device_shift: float) -> None:
    if patients < 1:
        raise ConfigurationError(f"expected at least 1 patient, got {patients}")
    if not 32 <= size <= 4096:
        raise ConfigurationError(f"expected a size of 32 to 4096 pixels, got {size}")
    if not 0 <= device_shift <= 1:
        raise ConfigurationError(f"expected a device shift of 0 to 1, got {device_shift}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", site):
        raise ConfigurationError("expected a site name of 1 to 16 letters, digits, '_' or '-'")
    if out.exists() and not (out / RECIPE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"{out} exists and was not made by this command; choose another folder or empty it")
