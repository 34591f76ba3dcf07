"""What a dataset keeps of the name of a source."""

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.data.candidates import coarse_source
from imaging.data.dataset import load_dataset
from imaging.data.ingest import ingest

KEY = bytes(32)


@pytest.mark.parametrize("name", ["", "NIH", "Kermany", "armiro/COVID-CXNet", "nih-chestxray8 (via a/COVID-19)"])
def test_the_ordinary_name_of_a_collection_is_kept(name):
    assert coarse_source(name, KEY) == name


@pytest.mark.parametrize("name", ["SECRET 4711081", "doe^john", "x" * 81, "https://example.org/?patient=7", "a\nb"])
def test_any_other_text_becomes_a_hash_with_the_key(name):
    assert re.fullmatch(r"source-[0-9a-f]{8}", coarse_source(name, KEY))
    assert coarse_source(name, KEY) != coarse_source(name, b"1" * 32)


@given(st.text())
def test_no_name_keeps_a_long_number_or_strange_characters(name):
    assert re.fullmatch(r"source-[0-9a-f]{8}|(?!.*[0-9]{5})[A-Za-z0-9 ._/(),-]{0,80}", coarse_source(name, KEY))


def test_a_dataset_keeps_no_free_text_as_its_source(tmp_path, make_folder, key):
    images = [(f"{index}.png", index) for index in range(4)]
    root = make_folder(tmp_path / "in", images)
    lines = [f"{index}.png,{'ab'[index % 2]},NIH of Mary 19700101" for index in range(4)]
    (root / "labels.csv").write_text("\n".join(["file,label,source", *lines]))
    result = ingest(str(root), tmp_path / "out", labels=root / "labels.csv", size=32, pseudonym_key=key)
    (source,) = set(load_dataset(result.path).column("source").tolist())
    assert source == coarse_source("NIH of Mary 19700101", key)
    assert not any(b"Mary" in file.read_bytes() for file in result.path.iterdir())


def test_the_sources_of_real_images_stay_apart_and_readable(real_data):
    with (real_data / "xray3" / "manifest.csv").open(newline="") as file:
        names = {row["source"] for row in csv.DictReader(file)}
    assert len(names) > 1
    assert {coarse_source(name, KEY) for name in names} == names
