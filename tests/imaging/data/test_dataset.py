"""The format of a dataset version: it loads equal, and any change to it is found."""

import json

import numpy as np
import pytest

from imaging.data.dataset import COLUMNS, load_dataset
from imaging.errors import DataError, NotFoundError

ROWS = [("a", "p1", 1), ("a", "p2", 2), ("b", "p3", 3)]


def test_a_written_dataset_loads_equal(tmp_path, make_dataset):
    written = make_dataset(tmp_path / "d", ROWS)
    loaded = load_dataset(tmp_path / "d", check_digest=True)
    assert np.array_equal(loaded.images, written.images)
    assert loaded.labels.tolist() == [0, 0, 1]
    assert loaded.patients.tolist() == ["p1", "p2", "p3"]
    assert len(loaded) == 3
    assert all(len(loaded.column(name)) == 3 for name in COLUMNS)
    with pytest.raises(NotFoundError, match="there are: label"):
        loaded.column("name")


def test_the_name_is_not_part_of_the_digest(tmp_path, make_dataset):
    assert make_dataset(tmp_path / "d", ROWS).digest == make_dataset(tmp_path / "e", ROWS).digest
    assert make_dataset(tmp_path / "f", [*ROWS[:2], ("b", "p4", 3)]).digest != make_dataset(tmp_path / "d", ROWS).digest


@pytest.mark.parametrize("file", ["images.npy", "table.parquet", "manifest.json"])
def test_a_missing_file_is_named_as_an_incomplete_dataset(tmp_path, make_dataset, file):
    make_dataset(tmp_path / "d", ROWS)
    (tmp_path / "d" / file).unlink()
    with pytest.raises((DataError, NotFoundError)):
        load_dataset(tmp_path / "d")


def test_a_changed_pixel_label_or_manifest_is_found(tmp_path, make_dataset):
    for change in (change_a_pixel, swap_the_table, add_a_class):
        folder = tmp_path / change.__name__
        make_dataset(folder, ROWS)
        change(folder)
        with pytest.raises(DataError):
            load_dataset(folder, check_digest=True)


def change_a_pixel(folder):
    images = np.load(folder / "images.npy")
    images[0, 0, 0] ^= 1
    np.save(folder / "images.npy", images)


def swap_the_table(folder):
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "table.parquet")
    pq.write_table(table.take([1, 0, 2]), folder / "table.parquet")


def add_a_class(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["classes"].append("c")
    (folder / "manifest.json").write_text(json.dumps(manifest))
