"""Splits: whole patients, every image once, every class everywhere, the same from the same seed."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.data.dataset import Dataset
from imaging.data.splits import PARTS, Overlap, Split, find_overlap, split_dataset, split_on_disk
from imaging.errors import DataError, PatientOverlapError


def rows_of(patients_per_class: int, images: int = 2) -> list[tuple[str, str, int]]:
    return [
        (label, f"{label}{patient}", 1000 * ord(label) + 10 * patient + image)
        for label in "abc"
        for patient in range(patients_per_class)
        for image in range(images)
    ]


@st.composite
def messy_rows(draw):
    """Patients with one to four images, some with several labels, some sharing pictures."""
    rows = rows_of(8, 1)
    extra = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(0, 30)), max_size=60))
    return rows + [(label, f"patient{patient}", picture) for label, patient, picture in extra]


@given(rows=messy_rows(), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_no_patient_and_no_picture_is_ever_on_two_sides(tmp_path_factory, make_dataset, rows, seed):
    dataset = make_dataset(tmp_path_factory.mktemp("messy"), rows)
    split = split_dataset(dataset, seed=seed)
    assert find_overlap(dataset, split) == Overlap(patients=0, duplicates=0)
    assert sorted(np.concatenate([split.parts[part] for part in PARTS]).tolist()) == list(range(len(rows)))


def test_every_class_gets_its_share_of_patients_in_every_part(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(50))
    split = split_dataset(dataset)
    for label in range(3):
        patients = [len(set(dataset.patients[i[dataset.labels[i] == label]])) for i in split.parts.values()]
        assert patients == [25, 5, 6, 14]


def test_the_seed_decides_the_split(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(20))
    assert split_dataset(dataset, seed=1).digest == split_dataset(dataset, seed=1).digest
    assert split_dataset(dataset, seed=1).digest != split_dataset(dataset, seed=2).digest


def test_a_saved_split_loads_equal_and_a_changed_one_does_not_load(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(8))
    split = split_on_disk(dataset.path, tmp_path / "split.json", seed=3)
    assert Split.load(tmp_path / "split.json").digest == split.digest
    document = json.loads((tmp_path / "split.json").read_text())
    document["parts"]["test"].append(document["parts"]["train"].pop())
    (tmp_path / "split.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="changed"):
        Split.load(tmp_path / "split.json")


def test_an_overlap_is_counted(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", [*rows_of(8), ("a", "new", 10 + 1000 * ord("a"))])
    whole = split_dataset(dataset)
    leaking = dataclasses.replace(whole, parts={**whole.parts, "test": np.arange(len(dataset))})
    overlap = find_overlap(dataset, leaking)
    assert overlap.patients > 0
    assert overlap.duplicates > 0
    with pytest.raises(DataError, match="another dataset"):
        find_overlap(dataset, dataclasses.replace(whole, dataset_digest="sha256:0"))


def test_too_few_patients_or_bad_fractions_are_named(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(3))
    with pytest.raises(DataError, match="3 patients"):
        split_dataset(dataset)
    with pytest.raises(DataError, match="sum to 1"):
        split_dataset(dataset, fractions=(0.5, 0.5, 0.5, 0.5))


def test_the_tables_own_split_is_kept_and_calibration_comes_from_val_and_train(tmp_path, make_dataset):
    rows = rows_of(20, 1)
    hints = [("train", "train", "train", "val", "test")[i % 5] for i in range(len(rows))]
    dataset = make_dataset(tmp_path / "d", rows, hints)
    split = split_dataset(dataset, keep_hints=True)
    assert split.parts["test"].tolist() == [i for i, hint in enumerate(hints) if hint == "test"]
    assert len(split.parts["val"]) >= 6
    for label in range(3):
        assert (dataset.labels[split.parts["calibration"]] == label).sum() == 3
    assert find_overlap(dataset, split) == Overlap(patients=0, duplicates=0)


def test_a_patient_on_two_sides_of_the_tables_own_split_is_an_error(tmp_path, make_dataset):
    rows = rows_of(8)
    dataset = make_dataset(tmp_path / "d", rows, ["train", "test"] * (len(rows) // 2))
    with pytest.raises(PatientOverlapError):
        split_dataset(dataset, keep_hints=True)
    unhinted = make_dataset(tmp_path / "e", rows)
    with pytest.raises(DataError, match="no split"):
        split_dataset(unhinted, keep_hints=True)


def test_a_patient_keeps_their_side_when_the_dataset_grows(tmp_path, make_dataset):
    """Else a champion would be compared on patients it was trained on."""
    small = make_dataset(tmp_path / "small", rows_of(60, 1))
    large = make_dataset(tmp_path / "large", rows_of(90, 1))
    before, after = split_dataset(small), split_dataset(large)
    fitted = {small.patients[i] for i in before.parts["train"]}
    tested = {large.patients[i] for i in after.parts["test"]}
    assert not fitted & tested
    stayed = {small.patients[i] for i in before.parts["test"]} & tested
    assert len(stayed) >= 0.75 * len(before.parts["test"])


def test_with_the_tables_own_split_calibration_does_not_depend_on_the_pseudonyms_key(tmp_path, make_dataset):
    """So two homes, each with its own key, train and test on the same images."""
    rows = rows_of(40, 1)
    hints = ["test" if i % 4 == 0 else "train" for i in range(len(rows))]
    one = make_dataset(tmp_path / "one", rows, hints=hints)
    other = make_dataset(tmp_path / "other", [(a, f"x{hash_of(b)}", c) for a, b, c in rows], hints=hints)
    first, second = (split_dataset(dataset, keep_hints=True).parts["calibration"] for dataset in (one, other))
    assert first.tolist() == second.tolist()
    assert len(first) > 0


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def test_a_table_with_train_and_test_only_gets_val_and_calibration_out_of_train(tmp_path, make_dataset):
    rows = rows_of(60, 1)
    hints = ["test" if i % 4 == 0 else "train" for i in range(len(rows))]
    dataset = make_dataset(tmp_path / "d", rows, hints)
    split = split_dataset(dataset, keep_hints=True, fractions=(0.6, 0.1, 0.2, 0.1))
    assert split.parts["test"].tolist() == [i for i, hint in enumerate(hints) if hint == "test"]
    for label in range(3):
        counts = [int((dataset.labels[split.parts[part]] == label).sum()) for part in PARTS]
        assert counts == [30, 5, 10, 15]
    assert find_overlap(dataset, split) == Overlap(patients=0, duplicates=0)


def test_a_small_class_still_gets_an_image_to_validate_on(tmp_path, make_dataset):
    rows = [*rows_of(30, 1), ("d", "d1", 1), ("d", "d2", 2), ("d", "d3", 3)]
    dataset = make_dataset(tmp_path / "d", rows, ["train"] * (len(rows) - 1) + ["test"])
    assert 3 in dataset.labels[split_dataset(dataset, keep_hints=True).parts["val"]]


def test_seventy_thousand_images_of_as_many_patients_are_split(tmp_path):
    """MNIST's size: work that grows with the square of it would not end here."""
    count = 70_000
    names = np.array([f"{i:05}" for i in range(count)])
    table = {"pixel_sha256": names, "split_hint": np.where(np.arange(count) < 60_000, "train", "test")}
    dataset = Dataset(
        path=tmp_path, images=np.zeros((count, 1, 1), np.uint8), labels=np.arange(count) % 10, patients=names,
        classes=tuple("0123456789"), size=1, digest="sha256:0", manifest={}, _table=table,
    )  # fmt: skip
    split = split_dataset(dataset, keep_hints=True)
    assert len(split.parts["test"]) == 10_000
    assert find_overlap(dataset, split) == Overlap(patients=0, duplicates=0)
