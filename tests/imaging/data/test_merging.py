"""Merging: the test part stays as it was, nobody changes sides, and what is new is dealt the same way each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.data.dataset import Dataset, load_dataset
from imaging.data.merging import RECENT_SHARE, Merged, merge_on_disk
from imaging.data.splits import Overlap, Split, find_overlap, split_dataset, split_on_disk
from imaging.errors import DataError

OLD = [(label, f"{label}{n}", 1000 * ord(label) + n) for label in "abc" for n in range(20)]
NEW = [(label, f"new-{label}{n}", 500_000 + 1000 * ord(label) + n) for label in "abc" for n in range(16)]


def merged(place, make_dataset, old=OLD, new=NEW) -> tuple[Merged, Dataset, Split]:
    base = make_dataset(place / "base", old)
    split = split_on_disk(base.path, place / "split.json", seed=5)
    newer = make_dataset(place / "new", new)
    made = merge_on_disk(base.path, place / "split.json", newer.path, place / "out", place / "next.json")
    return made, base, split


def sides_of(data: Dataset, split: Split) -> dict[str, str]:
    return {str(one): part for part, rows in split.parts.items() for one in data.patients[rows]}


def test_the_test_part_stays_image_for_image(tmp_path, make_dataset):
    made, base, split = merged(tmp_path, make_dataset)
    before, after = split.parts["test"], made.split.parts["test"]
    assert np.array_equal(base.images[before], made.dataset.images[after])
    assert base.patients[before].tolist() == made.dataset.patients[after].tolist()


def test_the_next_version_splits_by_its_own_table_into_the_same_parts(tmp_path, make_dataset):
    made, _, _ = merged(tmp_path, make_dataset)
    assert split_dataset(made.dataset, seed=99, keep_hints=True).digest == made.split.digest
    assert Split.load(tmp_path / "next.json").digest == made.split.digest


def test_some_new_patients_of_each_class_are_held_back_and_never_trained_on(tmp_path, make_dataset):
    made, _, _ = merged(tmp_path, make_dataset)
    held = set(made.recent.patients.tolist())
    assert len(held) == round(RECENT_SHARE * 16) * 3
    assert set(made.recent.classes) == set("abc")
    assert not held & set(made.dataset.patients.tolist())
    assert made.taken == {"a": 16, "b": 16, "c": 16}


def test_the_version_names_what_it_came_from_and_holds_its_digest(tmp_path, make_dataset):
    made, base, split = merged(tmp_path, make_dataset)
    lineage = load_dataset(made.dataset.path, check_digest=True).manifest["lineage"]
    assert (lineage["base"], lineage["base_split"]) == (base.digest, split.digest)
    assert lineage["recent"] == made.recent.digest


def test_merging_the_same_again_gives_the_same_versions(tmp_path, make_dataset):
    one, _, _ = merged(tmp_path / "one", make_dataset)
    other, _, _ = merged(tmp_path / "other", make_dataset)
    assert (one.dataset.digest, one.recent.digest) == (other.dataset.digest, other.recent.digest)


def test_every_home_deals_alike_whatever_its_pseudonyms(tmp_path, make_dataset):
    one, _, _ = merged(tmp_path / "one", make_dataset)
    others = [(label, f"x{patient[::-1]}", picture) for label, patient, picture in NEW]
    other, _, _ = merged(tmp_path / "other", make_dataset, new=others)
    pictures = [made.recent.column("pixel_sha256").tolist() for made in (one, other)]
    assert pictures[0] == pictures[1]


def test_a_new_image_of_a_test_patient_and_a_known_picture_are_left_out(tmp_path, make_dataset):
    base = make_dataset(tmp_path / "look", OLD)
    sides = sides_of(base, split_dataset(base, seed=5))
    locked = next(name for name, part in sides.items() if part == "test")
    trained = next(name for name, part in sides.items() if part == "train")
    known = next(picture for _, patient, picture in OLD if patient == trained)
    new = [*NEW, ("a", locked, 900_001), ("a", "somebody", known), ("a", trained, 900_002)]
    made, _, _ = merged(tmp_path, make_dataset, new=new)
    assert made.left_out == {"test_patient": 1, "known_picture": 1, "two_sides": 0}
    assert sides_of(made.dataset, made.split)[trained] == "train"
    assert int((made.dataset.patients == trained).sum()) == 2
    assert "somebody" not in made.dataset.patients.tolist()


def test_a_second_merge_keeps_the_first_test_part_and_everybodys_side(tmp_path, make_dataset):
    first, _, split = merged(tmp_path, make_dataset)
    newer = [(label, f"later-{label}{n}", 700_000 + 1000 * ord(label) + n) for label in "abc" for n in range(12)]
    more = make_dataset(tmp_path / "later", newer)
    folders = (first.dataset.path, tmp_path / "next.json", more.path)
    second = merge_on_disk(*folders, tmp_path / "out", tmp_path / "third.json")
    assert len(second.split.parts["test"]) == len(split.parts["test"])
    before, after = sides_of(first.dataset, first.split), sides_of(second.dataset, second.split)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ([("d", "x", 1), ("d", "y", 2)], "some of the base's classes a, b, c, got d"),
        ([("a", "x", 1)], "too few new patients"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(tmp_path, make_dataset, new, told):
    with pytest.raises(DataError, match=told):
        merged(tmp_path, make_dataset, new=new)


def test_another_splits_base_and_colours_are_refused(tmp_path, make_dataset):
    base = make_dataset(tmp_path / "base", OLD)
    split_on_disk(base.path, tmp_path / "split.json", seed=5)
    other = make_dataset(tmp_path / "colours", NEW, channels=3)
    with pytest.raises(DataError, match="1 channels, as the base has"):
        merge_on_disk(base.path, tmp_path / "split.json", other.path, tmp_path / "out", tmp_path / "n.json")
    with pytest.raises(DataError, match="another dataset version than the base"):
        merge_on_disk(other.path, tmp_path / "split.json", base.path, tmp_path / "out", tmp_path / "n.json")


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_patient_and_no_picture_ever_comes_to_two_sides(tmp_path_factory, make_dataset, data):
    extra = st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 40))
    rows = data.draw(st.lists(extra, max_size=40))
    messy = [(label, f"{label}{patient}", 1000 * ord(label) + picture) for label, patient, picture in rows]
    place = tmp_path_factory.mktemp("messy")
    made, base, split = merged(place, make_dataset, new=[*NEW, *messy])
    assert find_overlap(made.dataset, made.split) == Overlap(patients=0, duplicates=0)
    assert not set(made.recent.patients.tolist()) & set(made.dataset.patients.tolist())
    pictures = [set(one.column("pixel_sha256").tolist()) for one in (made.recent, made.dataset)]
    assert not pictures[0] & pictures[1]
    locked = base.column("pixel_sha256")[split.parts["test"]].tolist()
    assert made.dataset.column("pixel_sha256")[made.split.parts["test"]].tolist() == locked
