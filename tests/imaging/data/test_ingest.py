"""Ingest: what is kept, what is set aside and why, and that nothing half-written or identifying remains."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.data.dataset import load_dataset
from imaging.data.ingest import ingest
from imaging.data.pseudonyms import pseudonym
from imaging.errors import DataError, EmptyDatasetError, NotFoundError

GOOD = [("a/1.png", 1), ("a/2.png", 2), ("b/3.png", 3), ("b/4.png", 4)]


def table(root: Path, rows: list[str], columns: str = "file,label,patient_id") -> Path:
    path = root / "labels.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def report(path: Path) -> dict:
    return json.loads((path / "ingest_report.json").read_text())


def test_class_folders_become_a_dataset(tmp_path, make_folder, key):
    result = ingest(str(make_folder(tmp_path / "in", GOOD)), tmp_path / "out", size=32, pseudonym_key=key)
    dataset = load_dataset(result.path, check_digest=True)
    assert dataset.classes == ("a", "b")
    assert dataset.images.shape == (4, 32, 32)
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert result.path.name == f"dataset-{result.digest[7:19]}"
    assert report(result.path)["warnings"]["patient_unknown"]["count"] == 4


def test_split_folders_above_the_classes_become_hints(tmp_path, make_folder, key):
    rows = [(f"{split}/{name}", seed + 10 * i) for i, split in enumerate(("train", "test")) for name, seed in GOOD]
    result = ingest(str(make_folder(tmp_path / "in", rows)), tmp_path / "out", size=32, pseudonym_key=key)
    hints = load_dataset(result.path).column("split_hint").tolist()
    assert hints.count("train") == hints.count("test") == 4


def test_the_same_source_twice_gives_the_same_digest_and_leaves_the_first(tmp_path, make_folder, key):
    source = str(make_folder(tmp_path / "in", GOOD))
    first = ingest(source, tmp_path / "out", size=32, pseudonym_key=key)
    written = (first.path / "manifest.json").stat()
    second = ingest(source, tmp_path / "out", size=32, pseudonym_key=key)
    assert second.digest == first.digest
    assert (second.path / "manifest.json").stat().st_ino == written.st_ino
    assert ingest(source, tmp_path / "out", size=40, pseudonym_key=key).digest != first.digest


def test_a_damaged_dataset_is_replaced_by_the_next_ingest(tmp_path, make_folder, key):
    source = str(make_folder(tmp_path / "in", GOOD))
    first = ingest(source, tmp_path / "out", size=32, pseudonym_key=key)
    images = first.path / "images.npy"
    images.write_bytes(images.read_bytes()[:-1] + b"\x99")
    with pytest.raises(DataError):
        load_dataset(first.path, check_digest=True)
    load_dataset(ingest(source, tmp_path / "out", size=32, pseudonym_key=key).path, check_digest=True)


def test_each_bad_file_is_set_aside_under_its_kind_and_stops_nobody(tmp_path, make_folder, key):
    root = make_folder(tmp_path / "in", [*GOOD, ("twin.png", 1), ("x.png", 9), ("y.png", 9)])
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(root / "blank.png")
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(root / "tiny.png")
    photo = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(photo).save(root / "photo.png")
    rows = [f"{name},{name[0]},p{seed}" for name, seed in GOOD]
    bad = ["broken.png,a,q", "blank.png,a,q", "tiny.png,a,q", "photo.png,a,q", "twin.png,a,p1", "x.png,a,q",
           "y.png,b,q", "gone.png,a,q", "a/1.png,,q"]  # fmt: skip
    result = ingest(str(root), tmp_path / "out", labels=table(root, rows + bad), size=32, pseudonym_key=key)
    assert result.problems == {
        "unreadable": 1, "too_large": 0, "too_small": 1, "blank": 1, "not_a_chest_radiograph": 1,
        "duplicate_pixels": 1, "label_conflict": 2, "missing_file": 1, "missing_label": 1,
    }  # fmt: skip
    assert result.counts == {"a": {"images": 2, "patients": 2}, "b": {"images": 2, "patients": 2}}
    problems = report(result.path)["problems"]
    assert [image["row"] for image in problems["label_conflict"]["images"]] == [11, 12]
    assert problems["duplicate_pixels"]["images"][0]["reason"] == "same pixels as row 2"
    page = (result.path / "ingest_report.html").read_text()
    assert "label_conflict" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "the page must need nothing else"


def test_nothing_that_identifies_a_patient_or_file_is_written(tmp_path, make_folder, key):
    root = make_folder(
        tmp_path / "in", [(f"{label}/SECRET-{seed}.png", seed) for label in "ab" for seed in (ord(label), 7)]
    )
    rows = [f"{label}/SECRET-{seed}.png,{label},SECRET{seed}" for label in "ab" for seed in (ord(label), 7)]
    result = ingest(str(root), tmp_path / "out", labels=table(root, rows), size=32, pseudonym_key=key)
    for file in result.path.iterdir():
        assert b"SECRET" not in file.read_bytes(), file.name
    assert pseudonym("SECRET97", key) in load_dataset(result.path).patients


def test_patients_who_share_a_picture_become_one(tmp_path, make_folder, key):
    root = make_folder(tmp_path / "in", [*GOOD, ("again.png", 1), ("other.png", 5)])
    rows = ["a/1.png,a,anna", "a/2.png,a,ben", "b/3.png,b,carl", "b/4.png,b,dora", "again.png,a,eve", "other.png,a,eve"]
    result = ingest(str(root), tmp_path / "out", labels=table(root, rows), size=32, pseudonym_key=key)
    patients = load_dataset(result.path).patients.tolist()
    assert patients[0] == patients[-1]
    assert len(set(patients)) == 4
    assert report(result.path)["patients_merged"] == 1


def test_the_table_speaks_before_the_header(tmp_path, make_folder, key):
    root = make_folder(tmp_path / "in", GOOD)
    columns = "file,label,patient_id,view,sex,age,site,split,source,manufacturer,note"
    rows = ["a/1.png,a,p,AP Supine,female,1-5,Site A,validation,NIH,FUJIFILM Corp,x",
            "a/2.png,a,q,PA,M,70,,train,NIH,,", "b/3.png,b,r,,,,,test,,,", "b/4.png,b,s,,,,,test,,,"]  # fmt: skip
    path = ingest(str(root), tmp_path / "out", labels=table(root, rows, columns), size=32, pseudonym_key=key).path
    dataset = load_dataset(path)
    first = {
        name: dataset.column(name)[0] for name in ("view", "sex", "age_band", "site", "split_hint", "manufacturer")
    }
    assert first == {
        "view": "AP",
        "sex": "F",
        "age_band": "0-17",
        "site": "Site A",
        "split_hint": "val",
        "manufacturer": "FUJI",
    }
    assert dataset.column("age_band").tolist() == ["0-17", "65+", "", ""]


def test_an_empty_class_or_no_class_or_one_class_is_an_error(tmp_path, make_folder, key):
    root = make_folder(tmp_path / "in", GOOD)
    (root / "empty").mkdir()
    with pytest.raises(EmptyDatasetError, match="empty"):
        ingest(str(root), tmp_path / "out", pseudonym_key=key)
    (root / "empty").rmdir()
    with pytest.raises(EmptyDatasetError):
        ingest(str(root), tmp_path / "out", labels=table(root, ["a/1.png,a,p", "gone.png,b,p"]), pseudonym_key=key)
    with pytest.raises(DataError, match="two classes"):
        ingest(str(root), tmp_path / "out", labels=table(root, ["a/1.png,a,p"]), pseudonym_key=key)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(EmptyDatasetError):
        ingest(str(tmp_path / "nothing"), tmp_path / "out", pseudonym_key=key)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("name,label", "a/1.png,a", "missing: file"),
        ("file,label", "../a/1.png,a", "inside the source"),
        ("file,label", "/etc/passwd,a", "inside the source"),
        ("file,label,split", "a/1.png,a,holdout", "split must be"),
    ],
)
def test_a_bad_label_table_is_named(tmp_path, make_folder, key, columns, row, message):
    root = make_folder(tmp_path / "in", GOOD)
    with pytest.raises(DataError, match=message):
        ingest(str(root), tmp_path / "out", labels=table(root, [row], columns), pseudonym_key=key)


def test_a_missing_source_or_table_is_named(tmp_path, make_folder, key):
    with pytest.raises(NotFoundError):
        ingest(str(tmp_path / "nowhere"), tmp_path / "out", pseudonym_key=key)
    with pytest.raises(NotFoundError):
        ingest(str(make_folder(tmp_path / "in", GOOD)), tmp_path / "out", labels="none.csv", pseudonym_key=key)


def test_a_link_out_of_the_source_is_not_followed(tmp_path, make_folder, key):
    root = make_folder(tmp_path / "in", GOOD)
    make_folder(tmp_path / "outside", [("secret.png", 8)])
    (root / "a" / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    assert ingest(str(root), tmp_path / "out", size=32, pseudonym_key=key).problems["missing_file"] == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from imaging.data.ingest import ingest
def die(done, total):
    if done == 3: os.kill(os.getpid(), signal.SIGKILL)
ingest(sys.argv[1], Path(sys.argv[2]), size=32, pseudonym_key=bytes(32), on_progress=die)
"""


def test_a_kill_in_the_middle_leaves_no_dataset_and_the_next_one_cleans_up(tmp_path, make_folder, key):
    source, out = str(make_folder(tmp_path / "in", GOOD)), tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, source, str(out)],
        env={**os.environ, "PYTHONPATH": "."},
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert [path for path in out.iterdir() if not path.name.startswith(".")] == []
    result = ingest(source, out, size=32, pseudonym_key=key)
    assert list(out.iterdir()) == [result.path]


@pytest.mark.real_data
def test_the_real_dicom_files_can_be_ingested(tmp_path, real_data, key):
    files = sorted(path.name for path in (real_data / "dicom").glob("*.dcm"))
    rows = [f"{name},{'ab'[i % 2]},p{i}" for i, name in enumerate(files)]
    result = ingest(
        str(real_data / "dicom"), tmp_path / "out", labels=table(tmp_path, rows), size=64, pseudonym_key=key
    )
    assert sum(result.problems.values()) == 0
    assert report(result.path)["kept"] == 5
    assert set(load_dataset(result.path).column("modality").tolist()) == {"CR", "DX"}
