import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imaging.data import bucket
from imaging.data.dataset import IMAGES, MANIFEST, Dataset
from imaging.errors import DataError, NotFoundError
from imaging.settings import Settings
from tests.imaging.data.conftest import write_small_dataset

ROWS = [("normal", "a", 1), ("normal", "b", 2), ("pneumonia", "c", 3)]
ADDRESS = "s3://b/current"


class Objects:
    """What lies below one address, and how often each was read."""

    def __init__(self, version: Path) -> None:
        self.held: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.put(version)

    def put(self, version: Path) -> None:
        self.held |= {path.name: path.read_bytes() for path in version.iterdir()}

    def names(self) -> list[str]:
        return sorted(self.held)

    def read(self, name: str, *, most: int) -> bytes:
        self.reads.append(name)
        try:
            return self.held[name][: most + 1]
        except KeyError as error:
            raise FileNotFoundError(name) from error


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """A bucket's prefix that holds one dataset version."""
    objects = Objects(write_small_dataset(tmp_path / "made", ROWS).path)
    monkeypatch.setattr(bucket, "BucketSource", lambda _uri, _settings: objects)
    return objects


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[[], Dataset]:
    return lambda: bucket.fetch(ADDRESS, tmp_path / "home" / "datasets", Settings())


def test_a_version_is_kept_under_its_name_and_digest_and_brought_once(published: Objects, fetch) -> None:
    first = fetch()
    again = fetch()
    assert first.path.name == f"small-{first.digest[7:19]}"
    assert again.path == first.path
    assert published.reads.count(IMAGES) == 1


def test_an_address_whose_content_changed_gives_the_new_version(published: Objects, fetch, tmp_path: Path) -> None:
    old = fetch()
    new = write_small_dataset(tmp_path / "newer", [*ROWS, ("pneumonia", "d", 4)])
    published.put(new.path)
    assert fetch().digest == new.digest != old.digest


@pytest.mark.parametrize("name", ["x/../../../escaped", "../escaped", "/nowhere/escaped", "a\\..\\escaped", ".."])
def test_a_name_that_leads_out_of_the_folder_is_refused(published: Objects, fetch, tmp_path: Path, name: str) -> None:
    published.held[name] = b"x"
    with pytest.raises(DataError, match="leads out"):
        fetch()
    assert list(tmp_path.rglob("*escaped*")) == []
    assert list((tmp_path / "home").rglob("*small-*")) == []


def test_nothing_but_a_versions_own_files_is_brought(published: Objects, fetch) -> None:
    published.held |= {"more.py": b"x", "folder/more": b"x"}
    assert [path.name for path in fetch().path.iterdir() if "more" in path.name or path.is_dir()] == []


@pytest.mark.parametrize("name", ["../../out", "/out", "", ".hidden", "a/b"])
def test_a_manifest_cannot_choose_where_it_is_written(published: Objects, fetch, tmp_path: Path, name: str) -> None:
    published.held[MANIFEST] = json.dumps(json.loads(published.held[MANIFEST]) | {"name": name}).encode()
    with pytest.raises(DataError, match="plain name"):
        fetch()
    assert not (tmp_path / "home").exists()


def test_a_local_copy_that_was_changed_is_brought_again(published: Objects, fetch) -> None:
    kept = fetch().path / IMAGES
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    fetch()
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("manifest", [b"{", b"[]", b'{"schema_version": 1, "digest": "sha256:0"}'])
def test_a_manifest_that_is_none_is_refused(published: Objects, fetch, manifest: bytes) -> None:
    published.held[MANIFEST] = manifest
    with pytest.raises(DataError):
        fetch()


def test_an_address_without_a_version_is_not_found(published: Objects, fetch) -> None:
    published.held.clear()
    with pytest.raises(NotFoundError):
        fetch()
