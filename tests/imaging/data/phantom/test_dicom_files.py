"""The files: real DICOM, whole folders, the same bytes for the same arguments."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.pixels import apply_voi_lut

from imaging.data.phantom import CLASSES, write_phantom
from imaging.data.phantom.patients import draw_patient
from imaging.data.phantom.picture import paint
from imaging.data.phantom.styles import style_of
from imaging.data.phantom.writer import SOP_CLASSES, dicom_bytes, stored_values
from imaging.errors import ConfigurationError

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "a", patients=12, seed=1, size=SIZE)


@pytest.fixture(scope="module")
def files(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((folder / "images").iterdir())]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_file(index: int, **changes) -> pydicom.Dataset:
    patient = draw_patient(index, seed=1, site="A")
    style = replace(style_of("A", patient.device), **changes)
    shown = paint(patient, patient.exposures[0], style, size=SIZE)
    return pydicom.dcmread(io.BytesIO(dicom_bytes(shown, patient, patient.exposures[0], style, site="A", salt="")))


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path):
    again = write_phantom(tmp_path / "again", patients=12, seed=1, size=SIZE)
    assert contents(again) == contents(folder)


def test_another_device_shows_the_same_patients_under_other_uids(folder: Path, tmp_path: Path):
    moved = write_phantom(tmp_path / "moved", patients=12, seed=1, size=SIZE, device_shift=0.7)
    before, after = contents(folder), contents(moved)
    assert before["labels.csv"] == after["labels.csv"]
    names = [name for name in before if name.endswith(".dcm")]
    uids = {pydicom.dcmread(io.BytesIO(held[name])).SOPInstanceUID for held in (before, after) for name in names}
    assert len(uids) == 2 * len(names)


def test_every_file_is_a_radiograph_that_pydicom_accepts(files: list[pydicom.Dataset]):
    for ds in files:
        assert ds.SOPClassUID == SOP_CLASSES[ds.Modality]
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.SamplesPerPixel) == (16, 12, 11, 1)
        assert ds.pixel_array.shape == (ds.Rows, ds.Columns) == (SIZE, SIZE)
        assert ds.pixel_array.max() < 4096
        assert ds.ViewPosition in ("PA", "AP")
        assert ds.BodyPartExamined == "CHEST"
        assert 18 <= int(ds.PatientAge.removesuffix("Y")) <= 92
        assert all(uid.is_valid for uid in (ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID))
    assert len({ds.SOPInstanceUID for ds in files}) == len(files)
    assert len({ds.StudyInstanceUID for ds in files}) == 12


def test_both_kinds_of_device_negative_and_window_occur(files: list[pydicom.Dataset]):
    assert {ds.Modality for ds in files} == {"CR", "DX"}
    assert {ds.PhotometricInterpretation for ds in files} == {"MONOCHROME1", "MONOCHROME2"}
    windowed = sum("WindowCenter" in ds for ds in files)
    assert len(files) / 2 < windowed < len(files)


def test_the_label_table_names_every_file_and_gives_each_patient_one_side(folder: Path, files: list[pydicom.Dataset]):
    with (folder / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert list(rows[0]) == ["file", "label", "patient_id", "view", "sex", "age", "site", "split", "lesions", "lungs"]
    for row, ds in zip(rows, files, strict=True):
        assert (folder / row["file"]).is_file()
        assert (row["patient_id"], row["view"], row["sex"]) == (ds.PatientID, ds.ViewPosition, ds.PatientSex)
    sides = {(row["patient_id"], row["split"]) for row in rows}
    assert len(sides) == len({row["patient_id"] for row in rows})
    by_patient = {row["patient_id"]: row["label"] for row in rows}
    assert {(row["patient_id"], row["label"]) for row in rows} == set(by_patient.items())
    assert sorted(by_patient.values()) == sorted(CLASSES * 4)


@given(arrays(np.uint16, (4, 4), elements=st.integers(0, 4095)))
def test_monochrome1_is_the_negative_of_monochrome2(shown: np.ndarray):
    positive, negative = (stored_values(shown, monochrome1=flag) for flag in (False, True))
    assert np.array_equal(positive + negative, np.full_like(shown, 4095))
    assert positive.max() < 4096


@pytest.mark.parametrize("index", range(3))
def test_both_photometric_interpretations_show_the_same_picture(index: int):
    positive, negative = (as_file(index, monochrome1=flag, windowed=True) for flag in (False, True))
    shown = [np.asarray(apply_voi_lut(ds.pixel_array, ds), dtype=float) for ds in (positive, negative)]
    assert np.abs(shown[0] + shown[1] - 4095).max() < 3
    assert shown[0].std() > 400


def test_a_folder_that_something_else_made_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(ConfigurationError, match="not made by this command"):
        write_phantom(tmp_path, patients=1, size=SIZE)
    assert (tmp_path / "thesis.txt").is_file()


def test_an_earlier_phantom_is_replaced_whole(tmp_path: Path):
    write_phantom(tmp_path / "p", patients=3, size=SIZE)
    write_phantom(tmp_path / "p", patients=1, size=SIZE, seed=2)
    assert contents(tmp_path / "p") == contents(write_phantom(tmp_path / "q", patients=1, size=SIZE, seed=2))


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "p", patients=2, size=SIZE, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [{"patients": 0}, {"size": 8}, {"device_shift": 1.5}, {"site": "../../etc"}, {"site": ""}]
)
def test_values_out_of_range_are_refused(tmp_path: Path, wrong: dict):
    with pytest.raises(ConfigurationError, match="expected"):
        write_phantom(tmp_path / "p", **{"patients": 1, "size": SIZE, **wrong})


def test_the_sides_of_the_split_hold_the_classes_in_equal_shares():
    patients = [draw_patient(index, seed=1, site="A") for index in range(345)]
    for side, least in (("test", 30), ("val", 10), ("train", 65)):
        counts = [sum(one.label == label and one.side == side for one in patients) for label in CLASSES]
        assert len(set(counts)) == 1
        assert counts[0] >= least
