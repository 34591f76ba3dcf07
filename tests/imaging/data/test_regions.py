"""Boxes of lesions and lungs, from a label table to a dataset version."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.data.dataset import load_dataset, write_dataset
from imaging.data.label_tables import parse_table
from imaging.data.phantom import write_phantom
from imaging.data.regions import box_around, boxes_text, mask_of, parse_boxes
from imaging.errors import DataError, NotFoundError

SHARES = st.integers(0, 9999)


@given(st.lists(st.tuples(SHARES, SHARES, st.integers(1, 9999), st.integers(1, 9999)), max_size=3))
def test_written_boxes_are_read_back(corners: list[tuple[int, int, int, int]]):
    boxes = tuple(
        (left / 1e4, top / 1e4, min(left + width, 10000) / 1e4, min(top + height, 10000) / 1e4)
        for left, top, width, height in corners
    )
    assert parse_boxes(boxes_text(boxes)) == boxes


@pytest.mark.parametrize("text", ["0.1 0.2 0.3", "a b c d", "0.5 0 0.2 1", "0 0 1.2 1", "0 0 nan 1", "0.1,0.2,0.3,0.4"])
def test_what_is_no_box_is_refused_with_its_line(text: str):
    with pytest.raises(DataError, match="line 2 of the label table: expected"):
        parse_table(f'file,label,lesions\na.png,ill,"{text}"\n')


def test_a_box_goes_around_what_is_true_and_its_mask_is_its_share():
    mask = np.zeros((8, 8), bool)
    mask[2:4, 1:7] = True
    box = box_around(mask)
    assert box == (1 / 8, 2 / 8, 7 / 8, 4 / 8)
    assert box_around(np.zeros((8, 8), bool)) is None
    np.testing.assert_array_equal(mask_of([box], 8), mask)
    assert mask_of([box, box], 4).mean() == pytest.approx(mask.mean())


def test_a_dataset_keeps_boxes_where_there_are_any_and_its_digest_where_there_are_none(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", [("a", "p1", 1), ("b", "p2", 2)])
    table = {name: dataset.column(name) for name in dataset._table}
    none = {**table, "lesions": np.array(["", ""])}
    assert write_dataset(tmp_path / "d", none, size=16, facts={}) == dataset.digest
    with pytest.raises(NotFoundError):
        load_dataset(tmp_path / "d").column("lesions")
    some = {**table, "lesions": np.array(["0.1000 0.1000 0.5000 0.5000", ""])}
    assert write_dataset(tmp_path / "d", some, size=16, facts={}) != dataset.digest
    assert load_dataset(tmp_path / "d", check_digest=True).column("lesions").tolist() == some["lesions"].tolist()


def test_the_phantom_says_where_lungs_and_lesions_are_and_ingest_keeps_it(tmp_path, key):
    from imaging.data.ingest import ingest

    folder = write_phantom(tmp_path / "phantom", patients=6, seed=1, size=64)
    entries = parse_table((folder / "labels.csv").read_text())
    assert all(len(parse_boxes(entry.lungs)) == 2 for entry in entries)
    counts = {(entry.label, len(parse_boxes(entry.lesions))) for entry in entries}
    assert counts == {("normal", 0), ("pneumonia", 1), ("covid", 2)}
    made = ingest(str(folder), tmp_path / "out", labels=folder / "labels.csv", size=32, pseudonym_key=key)
    data = load_dataset(made.path, check_digest=True)
    ill = data.column("label") != "normal"
    assert ((data.column("lesions") != "") == ill).all()
    for lesions, lungs in zip(data.column("lesions")[ill], data.column("lungs")[ill], strict=True):
        lesion, lung = mask_of(parse_boxes(lesions), 64), mask_of(parse_boxes(lungs), 64)
        assert 0 < lesion.mean() < lung.mean() < 0.7
        assert (lesion * lung).sum() > 0.95 * lesion.sum()
