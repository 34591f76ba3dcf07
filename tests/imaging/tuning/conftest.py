"""A dataset version of small easy pictures and its split, made once."""

from pathlib import Path
from typing import NamedTuple

import pytest

from imaging.data.ingest import ingest
from imaging.data.splits import split_on_disk
from tests.pipelines.easy_images import write_easy_images


class Parts(NamedTuple):
    dataset: Path
    split: Path


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    root = tmp_path_factory.mktemp("tuning")
    images = write_easy_images(root / "images", patients=16)
    made = ingest(str(images), root / "out", labels=images / "labels.csv", size=32, pseudonym_key=b"k" * 32)
    split_on_disk(made.path, root / "split.json")
    return Parts(dataset=made.path, split=root / "split.json")
