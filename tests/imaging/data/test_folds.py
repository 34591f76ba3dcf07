"""Cross-validation: every image tested on once, no patient on two sides, classes alike in every fold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.data.splits import PARTS, Overlap, find_overlap, k_fold_splits, split_on_disk
from imaging.errors import DataError


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
    extra = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(0, 30)), max_size=60))
    return rows_of(12, 1) + [(label, f"patient{patient}", picture) for label, patient, picture in extra]


@given(rows=messy_rows(), seed=st.integers(0, 2**31), folds=st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_every_image_is_tested_on_once_and_nobody_is_on_two_sides(tmp_path_factory, make_dataset, rows, seed, folds):
    dataset = make_dataset(tmp_path_factory.mktemp("messy"), rows)
    splits = k_fold_splits(dataset, folds=folds, seed=seed)
    assert len(splits) == folds
    assert sorted(np.concatenate([split.parts["test"] for split in splits]).tolist()) == list(range(len(rows)))
    for split in splits:
        assert find_overlap(dataset, split) == Overlap(patients=0, duplicates=0)
        assert sorted(np.concatenate([split.parts[part] for part in PARTS]).tolist()) == list(range(len(rows)))


@given(patients=st.integers(10, 40), folds=st.integers(2, 5), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_every_fold_tests_on_as_many_patients_of_every_class(tmp_path_factory, make_dataset, patients, folds, seed):
    dataset = make_dataset(tmp_path_factory.mktemp("even"), rows_of(patients))
    counts = [
        len(set(dataset.patients[split.parts["test"][dataset.labels[split.parts["test"]] == label]]))
        for split in k_fold_splits(dataset, folds=folds, seed=seed)
        for label in range(3)
    ]
    assert max(counts) - min(counts) <= 1


def test_the_shares_are_of_the_patients_not_tested_on(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(50))
    for split in k_fold_splits(dataset, folds=5, val_share=0.1, calibration_share=0.2):
        assert {part: len(indices) for part, indices in split.parts.items()} == {
            "train": 3 * 2 * 28, "val": 3 * 2 * 4, "calibration": 3 * 2 * 8, "test": 3 * 2 * 10,
        }  # fmt: skip
    without = k_fold_splits(dataset, folds=5, calibration_share=0)
    assert all(len(split.parts["calibration"]) == 0 < len(split.parts["val"]) for split in without)


def test_the_seed_decides_the_folds(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(20))
    one, again, other = ([split.digest for split in k_fold_splits(dataset, seed=seed)] for seed in (1, 1, 2))
    assert one == again
    assert not set(one) & set(other)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"folds": 1}, "at least 2 folds"), ({"folds": 9}, "8 patients"),
     ({"val_share": 0.6, "calibration_share": 0.4}, "leave some to train on"),
     ({"val_share": -0.1}, "leave some"), ({"folds": 4, "val_share": 0.0, "calibration_share": -1.0}, "leave some")],
)  # fmt: skip
def test_what_cannot_be_divided_is_named(tmp_path, make_dataset, options, message):
    with pytest.raises(DataError, match=message):
        k_fold_splits(make_dataset(tmp_path / "d", rows_of(8)), **options)


def test_one_fold_is_written_to_disk(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", rows_of(20))
    tested = [
        split_on_disk(dataset.path, tmp_path / f"{fold}.json", fold=fold, folds=4).parts["test"] for fold in range(4)
    ]
    assert sorted(np.concatenate(tested).tolist()) == list(range(len(dataset)))
    for options, message in [({"fold": 4, "folds": 4}, "0 to 3"), ({"folds": 4, "keep_hints": True}, "exclude")]:
        with pytest.raises(DataError, match=message):
            split_on_disk(dataset.path, tmp_path / "no.json", **options)
    assert not (tmp_path / "no.json").exists()
