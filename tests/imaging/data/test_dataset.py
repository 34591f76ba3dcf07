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


def test_colour_images_load_equal_and_their_channels_are_part_of_the_digest(tmp_path, make_dataset):
    written = make_dataset(tmp_path / "d", ROWS, channels=3)
    loaded = load_dataset(tmp_path / "d", check_digest=True)
    assert (loaded.channels, loaded.images.shape, loaded.images.dtype) == (3, (3, 16, 16, 3), np.uint8)
    assert isinstance(loaded.images, np.memmap)
    assert np.array_equal(loaded.images, written.images)
    assert loaded.manifest["channels"] == 3
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    del manifest["channels"]
    (tmp_path / "d" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="own digest"):
        load_dataset(tmp_path / "d")


def test_a_grey_dataset_keeps_the_digest_it_had_before_there_was_colour(tmp_path, make_dataset):
    dataset = make_dataset(tmp_path / "d", ROWS)
    assert dataset.digest == "sha256:cc5b151c61474802a4cf92122bd6ceeb0d1717d1a72e04a3bfd5dd40df7e705d"
    assert dataset.channels == 1
    assert "channels" not in dataset.manifest


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
