"""Ingest from a real S3 API on this machine (`rclone serve s3`, signature v4 keys)."""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.data.bucket import fetch, is_version, publish
from imaging.data.ingest import ingest
from imaging.data.sources import s3_client
from imaging.errors import DataError, NotFoundError, ServiceError
from imaging.settings import Settings
from tests.s3_api import s3_api

pytestmark = [pytest.mark.e2e, pytest.mark.beside]

KEY = bytes(32)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Settings]:
    """A server whose bucket `radiographs` holds two classes below `ward/`, with a label table."""
    root = tmp_path / "s3"
    rows = ["file,label,patient_id"]
    for label in ("normal", "pneumonia"):
        folder = root / "radiographs" / "ward" / label
        folder.mkdir(parents=True)
        for i in range(3):
            noise = np.random.default_rng(len(rows)).integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(noise).resize((80, 80)).save(folder / f"{i}.png")
            rows.append(f"{label}/{i}.png,{label},patient{label}{i}")
    (root / "radiographs" / "ward" / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "radiographs" / "ward" / "normal" / "broken.png").write_bytes(b"not a picture")
    with s3_api(root, tmp_path) as settings:
        yield settings


def test_a_bucket_gives_the_same_dataset_as_the_folder_behind_it(tmp_path, bucket):
    remote = ingest("s3://radiographs/ward", tmp_path / "out", size=32, pseudonym_key=KEY, settings=bucket)
    local = ingest(str(tmp_path / "s3" / "radiographs" / "ward"), tmp_path / "out2", size=32, pseudonym_key=KEY)
    assert remote.digest == local.digest
    assert remote.problems["unreadable"] == 1


@pytest.mark.parametrize("labels", ["labels.csv", "s3://radiographs/ward/labels.csv"])
def test_a_label_table_in_the_bucket_is_read(tmp_path, bucket, labels):
    result = ingest(
        "s3://radiographs/ward/", tmp_path / "out", labels=labels, size=32, pseudonym_key=KEY, settings=bucket
    )
    assert result.counts == {name: {"images": 3, "patients": 3} for name in ("normal", "pneumonia")}


def test_an_object_that_is_gone_is_a_problem_and_a_table_that_is_gone_an_error(tmp_path, bucket):
    s3_client(bucket).delete_object(Bucket="radiographs", Key="ward/normal/0.png")
    result = ingest(
        "s3://radiographs/ward", tmp_path / "out", labels="labels.csv", size=32, pseudonym_key=KEY, settings=bucket
    )
    assert result.problems["missing_file"] == 1
    with pytest.raises(NotFoundError):
        ingest("s3://radiographs/ward", tmp_path / "out", labels="none.csv", pseudonym_key=KEY, settings=bucket)


def test_a_wrong_key_or_a_dead_server_is_a_service_error_not_bad_images(tmp_path, bucket):
    stranger = bucket.model_copy(update={"s3_access_key": "stranger"})
    with pytest.raises(ServiceError):
        ingest("s3://radiographs/ward", tmp_path / "out", size=32, pseudonym_key=KEY, settings=stranger)
    nobody = bucket.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(ServiceError):
        ingest("s3://radiographs/ward", tmp_path / "out", size=32, pseudonym_key=KEY, settings=nobody)
    assert list((tmp_path / "out").glob("*")) == []


def test_a_published_version_comes_back_whole_and_is_published_once(bucket: Settings, tmp_path: Path) -> None:
    (tmp_path / "s3" / "datasets").mkdir()
    made = ingest(
        "s3://radiographs/ward", tmp_path / "out", labels="labels.csv", size=32, pseudonym_key=KEY, settings=bucket
    )
    address = publish(made.path, bucket)
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s3" / "datasets").rglob("*.*")}
    again = publish(made.path, bucket)

    assert again == address == f"s3://datasets/{made.path.name}"
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s3" / "datasets").rglob("*.*")} == written
    assert is_version(address, bucket)
    assert not is_version("s3://radiographs/ward", bucket)
    assert fetch(address, tmp_path / "elsewhere", bucket).digest == made.digest


def test_a_version_changed_in_the_bucket_is_not_taken(bucket: Settings, tmp_path: Path) -> None:
    (tmp_path / "s3" / "datasets").mkdir()
    made = ingest(
        "s3://radiographs/ward", tmp_path / "out", labels="labels.csv", size=32, pseudonym_key=KEY, settings=bucket
    )
    address = publish(made.path, bucket)
    pixels = tmp_path / "s3" / "datasets" / made.path.name / "images.npy"
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError):
        fetch(address, tmp_path / "elsewhere", bucket)
    assert not (tmp_path / "elsewhere" / made.path.name).exists()


def test_colour_pictures_in_a_bucket_become_a_version_that_comes_back_in_colour(
    bucket: Settings, tmp_path: Path
) -> None:
    (tmp_path / "s3" / "datasets").mkdir()
    for i in range(4):
        path = tmp_path / "s3" / "radiographs" / "garden" / "train" / ("rose", "tulip")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((80, 80)).save(path)
    made = ingest(
        "s3://radiographs/garden", tmp_path / "out", size=32, pseudonym_key=KEY, settings=bucket, subject="picture"
    )
    back = fetch(publish(made.path, bucket), tmp_path / "elsewhere", bucket)
    assert (back.channels, back.images.shape, back.digest) == (3, (4, 32, 32, 3), made.digest)
    assert set(back.column("split_hint")) == {"train"}
