import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from imaging.settings import Settings
from pipelines import fingerprints
from pipelines.fingerprints import code_version, source_version, weights_version


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "normal").mkdir(parents=True)
    (folder / "normal" / "1.png").write_bytes(b"1")
    (tmp_path / "labels.csv").write_text("file,label\n")
    return folder


def test_the_same_source_has_the_same_fingerprint(images: Path) -> None:
    labels = str(images.parent / "labels.csv")
    assert source_version(str(images), labels, Settings()) == source_version(str(images), labels, Settings())


@pytest.mark.parametrize("change", ["added", "longer", "touched", "renamed", "labels", "key", "bytes", "pixels"])
def test_any_change_of_a_source_changes_its_fingerprint(images: Path, change: str) -> None:
    labels, file = images.parent / "labels.csv", images / "normal" / "1.png"
    before = source_version(str(images), str(labels), Settings())
    settings = Settings()
    if change == "added":
        (images / "2.png").write_bytes(b"2")
    elif change == "longer":
        file.write_bytes(b"11")
    elif change == "touched":
        os.utime(file, ns=(1, 1))
    elif change == "renamed":
        file.rename(images / "normal" / "3.png")
    elif change == "labels":
        labels.write_text("file,label\n1.png,covid\n")
    elif change == "bytes":
        settings = Settings(max_image_bytes=1)
    elif change == "pixels":
        settings = Settings(max_image_pixels=1)
    else:
        settings = Settings(pseudonym_key=SecretStr("00" * 32))

    assert source_version(str(images), str(labels), settings) != before


@pytest.mark.parametrize("inside", [True, False])
def test_labels_are_told_apart_by_their_bytes_and_not_by_their_size_and_time(images: Path, inside: bool) -> None:
    labels = (images if inside else images.parent) / "labels.csv"
    given = "labels.csv" if inside else str(labels)
    labels.write_text("file,label\n1.png,a\n")
    os.utime(labels, ns=(1, 1))
    before = source_version(str(images), given, Settings())
    labels.write_text("file,label\n1.png,b\n")
    os.utime(labels, ns=(1, 1))

    assert source_version(str(images), given, Settings()) != before


@pytest.mark.parametrize("library", ["imagecodecs", "pydicom", "pillow", "pyarrow"])
def test_another_version_of_what_reads_images_is_seen(
    images: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    before = source_version(str(images), "", Settings())
    known = fingerprints.version
    monkeypatch.setattr(fingerprints, "version", lambda name: "0" if name == library else known(name))

    assert source_version(str(images), "", Settings()) != before


def test_a_bucket_is_never_taken_for_unchanged() -> None:
    assert source_version("s3://a/b", "", Settings()) != source_version("s3://a/b", "", Settings())


def test_other_weights_are_seen(tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.pt"
    weights.write_bytes(b"1")
    before = weights_version(Settings(weights=tmp_path))
    weights.write_bytes(b"22")

    assert weights_version(Settings(weights=tmp_path)) != before
    assert weights_version(Settings(allow_download=True)) != weights_version(Settings())


def test_the_codes_version_is_a_digest() -> None:
    assert code_version().startswith("sha256:")
    assert code_version() == code_version()
