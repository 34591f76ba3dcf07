"""What the demo works on: the phantom, or a folder of real images, each with unshifted and shifted traffic.

Shifted traffic stands for a new device at the door; its labels arrive later and join the retraining data.
"""

import csv
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging.errors import DataError, NotFoundError

Note = Callable[[str], None]
PHANTOM_PATIENTS = 520
SHIFTED_PATIENTS = 160
SHIFTED_IMAGES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Where the demo's images are."""

    source: Path
    labels: Path
    keep_split: bool
    recipe: str
    first_ten: Sequence[Path]
    shifted: Sequence[Path]
    retrain_source: Path
    retrain_labels: Path
    told: str
    whole: bool = False
    """Whether the retraining takes a whole dataset, instead of adding new images to the first."""
    weights: Path | None = None
    """ImageNet weights found beside the images."""


def phantom_material(place: Path, note: Note) -> Material:
    """Write the synthetic radiographs: one hospital to train on, unseen patients to ask about, a shifted device."""
    from imaging.data.phantom import write_phantom

    note("drawing synthetic radiographs")
    site_a, unseen, site_b = place / "images" / "site-a", place / "unseen", place / "images" / "site-b"
    if not (place / "images" / "labels-b.csv").is_file():
        write_phantom(site_a, patients=PHANTOM_PATIENTS, seed=1)
        write_phantom(unseen, patients=12, seed=2)
        write_phantom(site_b, patients=SHIFTED_PATIENTS, seed=5, site="B", device_shift=1.0)
        merge_tables(place / "images" / "labels-b.csv", [site_b], first_keeps_names=False)
    shifted = _files(site_b)
    return Material(
        source=site_a,
        labels=site_a / "labels.csv",
        keep_split=True,
        recipe="smallcnn_phantom",
        first_ten=_files(unseen)[:10],
        shifted=shifted[:SHIFTED_IMAGES],
        retrain_source=place / "images",
        retrain_labels=place / "images" / "labels-b.csv",
        told=f"{len(_files(site_a))} DICOM files of {PHANTOM_PATIENTS} synthetic patients at site A",
    )


def real_material(place: Path, folder: Path, note: Note) -> Material:
    """Use a folder of real images with a `manifest.csv`; draw the shifted device by changing copies of them."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise NotFoundError(f"no manifest.csv in {folder}: expected columns file, label, patient_id, split")
    text = manifest.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or not {"file", "label", "patient_id", "split"} <= set(rows[0]):
        raise DataError(f"{manifest} needs rows and the columns file, label, patient_id, split")
    combined = place / f"combined-{hashlib.sha256(f'{folder.resolve()}{text}'.encode()).hexdigest()[:12]}"
    if not (combined / "labels.csv").is_file():
        note("imitating a new device on copies of training images")
        _write_shifted_copies(
            folder, [row for row in rows if row["split"] == "train"][:: max(1, len(rows) // 320)], combined
        )
        _write_combined_table(folder, rows, combined)
    weights = folder.parent / "weights"
    dicom = sorted((folder.parent / "dicom").glob("*.dcm"))
    test = [folder / row["file"] for row in rows if row["split"] == "test"]
    return Material(
        source=folder,
        labels=manifest,
        keep_split=True,
        recipe="mobilenetv2_xray3",
        first_ten=[*dicom, *test[:: max(1, len(test) // max(1, 10 - len(dicom)))]][:10],
        shifted=_files(combined / "new-device")[:SHIFTED_IMAGES],
        retrain_source=combined,
        retrain_labels=combined / "labels.csv",
        whole=True,
        told=f"{len(rows)} real radiographs with a patient-level split",
        weights=weights.resolve() if weights.is_dir() else None,
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".dcm", ".png", ".jpg"})


def merge_tables(out: Path, folders: Sequence[Path], *, first_keeps_names: bool = True) -> None:
    """Write one label table for several phantom folders; a site's patients stay its own."""
    merged: list[dict[str, str]] = []
    for folder in folders:
        with (folder / "labels.csv").open(newline="") as file:
            merged += [
                {
                    **row,
                    "file": f"{folder.name}/{row['file']}",
                    "patient_id": row["patient_id"]
                    if first_keeps_names and folder is folders[0]
                    else f"{folder.name}-{row['patient_id']}",
                }
                for row in csv.DictReader(file)
            ]
    _write_table(out, merged)


def _write_shifted_copies(folder: Path, rows: Sequence[dict[str, str]], combined: Path) -> None:
    """A device with another curve and less contrast: v -> 0.25 + 0.55 v ** 1.6, in grey values of [0, 1]."""
    import numpy as np
    from PIL import Image

    place = combined / "new-device"
    place.mkdir(parents=True, exist_ok=True)
    for index, row in enumerate(rows):
        with Image.open(folder / row["file"]) as image:
            values = np.asarray(image.convert("L"), dtype=np.float32) / 255
        shifted = (255 * (0.25 + 0.55 * values**1.6)).astype(np.uint8)
        Image.fromarray(shifted).save(place / f"{index:04d}.png")
    _write_table(
        place / "labels.csv", [{**row, "file": f"new-device/{index:04d}.png"} for index, row in enumerate(rows)]
    )


def _write_combined_table(folder: Path, rows: Sequence[dict[str, str]], combined: Path) -> None:
    for row in rows:
        copy = combined / "original" / row["file"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / row["file"], copy)
    with (combined / "new-device" / "labels.csv").open(newline="") as file:
        shifted = list(csv.DictReader(file))
    _write_table(combined / "labels.csv", [{**row, "file": f"original/{row['file']}"} for row in rows] + shifted)


def _write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    from imaging.atomic import write_text

    names = list(rows[0])
    lines = [",".join(names), *(",".join(_quote(row.get(name) or "") for name in names) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _quote(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(c in value for c in ',"\n') else value
