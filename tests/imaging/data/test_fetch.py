"""Public collections over real HTTP: continued after a break, checked, unpacked safely, there whole or not at all."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.data.ingest import ingest
from imaging.data.public.collections import COLLECTIONS, Collection, Remote
from imaging.data.public.download import ATTEMPTS, Downloader
from imaging.data.public.fetching import fetch_public
from imaging.errors import ConfigurationError, DataError, NotFoundError, ServiceError
from thorax.commands.data import app

DATA = bytes(range(256)) * 4000
FAST = Downloader(pause_s=0.001, timeout_s=10)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def fetched(shelf, folder: Path, **published: object) -> bytes:
    shelf.files.setdefault("/x.bin", DATA)
    target = folder / "x.bin"
    FAST.fetch(replace(Remote(name="x.bin", url=""), **published), f"{shelf.address}/x.bin", target)
    assert [path.name for path in folder.iterdir()] == ["x.bin"]
    return target.read_bytes()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("breaks", [0, 1, 3])
def test_a_file_comes_whole_however_often_it_breaks_off(shelf, tmp_path, ranges, breaks):
    shelf.ranges, shelf.breaks = ranges, breaks
    assert fetched(shelf, tmp_path, digest=sha256(DATA), size=len(DATA)) == DATA
    assert len(shelf.asked) == breaks + 1
    assert all(bool(wanted) == bool(i) for i, (_, wanted) in enumerate(shelf.asked))


def test_the_next_run_continues_where_this_one_gave_up(shelf, tmp_path):
    shelf.breaks, shelf.files["/x.bin"] = 10**6, DATA
    patient = replace(FAST, on_bytes=lambda done, _: (_ for _ in ()).throw(KeyboardInterrupt) if done > 1000 else None)
    with pytest.raises(KeyboardInterrupt):
        patient.fetch(Remote(name="x.bin", url=""), f"{shelf.address}/x.bin", tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()
    shelf.breaks = 0
    assert fetched(shelf, tmp_path) == DATA
    assert shelf.asked[-1][1].startswith("bytes=")


def test_a_file_that_changed_in_between_is_begun_again(shelf, tmp_path):
    (tmp_path / ".x.bin.part").write_bytes(b"old" * 1000)
    (tmp_path / ".x.bin.part.version").write_text('"older"')
    assert fetched(shelf, tmp_path) == DATA
    (tmp_path / "x.bin").unlink()
    shelf.stamp = ""
    (tmp_path / ".x.bin.part").write_bytes(b"old" * 1000)
    assert fetched(shelf, tmp_path, digest=sha256(DATA)) == DATA, "spoiled halves are found by the checksum"


def test_a_file_that_was_complete_but_not_yet_named_is_not_fetched_again(shelf, tmp_path):
    (tmp_path / ".x.bin.part").write_bytes(DATA)
    assert fetched(shelf, tmp_path, digest="md5:" + hashlib.md5(DATA).hexdigest()) == DATA
    assert len(shelf.asked) == 1


def test_a_busy_server_is_asked_again_and_a_dead_one_not_for_ever(shelf, tmp_path):
    shelf.busy = ATTEMPTS - 1
    assert fetched(shelf, tmp_path) == DATA
    shelf.busy = 10**6
    with pytest.raises(ServiceError, match="to continue"):
        fetched(shelf, tmp_path)
    assert len(shelf.asked) == 2 * ATTEMPTS
    with pytest.raises(ServiceError):
        FAST.fetch(Remote(name="x", url=""), "http://127.0.0.1:9/x", tmp_path / "y")


@pytest.mark.parametrize(
    ("published", "message"),
    [({"digest": sha256(b"other")}, "checksum"), ({"digest": "md5:" + "0" * 32}, "checksum"), ({"size": 100}, "bytes")],
)
def test_another_file_than_the_published_one_is_thrown_away(shelf, tmp_path, published, message):
    with pytest.raises(DataError, match=message):
        fetched(shelf, tmp_path, **published)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_is_said_at_once(shelf, tmp_path):
    with pytest.raises(NotFoundError, match="--mirror"):
        FAST.fetch(Remote(name="no.bin", url=""), f"{shelf.address}/no.bin", tmp_path / "no.bin")
    assert len(shelf.asked) == 1


@pytest.fixture
def flowers(shelf, make_zip, monkeypatch) -> Collection:
    """A small collection under the name of a real one: a zip without a published checksum."""
    wanted = replace(COLLECTIONS["flowers"], megabytes=1, files=(Remote(name="f.zip", url=f"{shelf.address}/f.zip"),))
    monkeypatch.setitem(COLLECTIONS, "flowers", wanted)
    shelf.files["/f.zip"] = make_zip({"flower_photos/rose/1.jpg": b"a rose", "flower_photos/LICENSE.txt": b"CC BY"})
    return wanted


def test_a_collection_appears_whole_and_is_fetched_once(shelf, flowers, tmp_path):
    result = fetch_public("flowers", tmp_path, downloader=FAST)
    assert (result.path / "flower_photos" / "rose" / "1.jpg").read_bytes() == b"a rose"
    assert result.pinned == ("f.zip",)
    assert json.loads((tmp_path / "checksums.json").read_text()) == {"flowers/f.zip": sha256(shelf.files["/f.zip"])}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checksums.json", "flowers"]
    again = fetch_public("flowers", tmp_path, downloader=FAST)
    assert (again.was_there, again.digests) == (True, result.digests)
    assert len(shelf.asked) == 1


def test_a_pinned_file_must_stay_what_it_was(shelf, flowers, make_zip, tmp_path):
    path = fetch_public("flowers", tmp_path, downloader=FAST).path
    path.rename(tmp_path / "elsewhere")
    shelf.files["/f.zip"] = make_zip({"flower_photos/rose/1.jpg": b"another rose"})
    with pytest.raises(DataError, match="checksum"):
        fetch_public("flowers", tmp_path, downloader=FAST)
    assert not path.exists()


def test_an_unsafe_collection_leaves_no_folder(shelf, flowers, make_zip, tmp_path):
    shelf.files["/f.zip"] = make_zip({"../evil": b"x"})
    with pytest.raises(DataError, match="leads out"):
        fetch_public("flowers", tmp_path / "to", downloader=FAST)
    assert [path.name for path in tmp_path.rglob("evil")] == []
    assert not (tmp_path / "to" / "flowers").exists()


def test_a_mirror_stands_in_for_the_publisher_and_a_wrong_name_is_named(shelf, flowers, tmp_path):
    shelf.files = {"/m/flowers/f.zip": shelf.files["/f.zip"]}
    with pytest.raises(NotFoundError):
        fetch_public("flowers", tmp_path, downloader=FAST)
    assert not fetch_public("flowers", tmp_path, mirror=f"{shelf.address}/m/", downloader=FAST).was_there
    with pytest.raises(NotFoundError, match="there are: mnist, cifar10"):
        fetch_public("imagenet", tmp_path)
    with pytest.raises(ConfigurationError, match="http"):
        fetch_public("mnist", tmp_path, mirror="file:///etc")


def test_every_published_checksum_and_address_is_well_formed():
    for name, wanted in COLLECTIONS.items():
        assert wanted.licence, name
        for remote in wanted.files:
            kind, _, value = remote.digest.partition(":")
            assert len(value) == {"": 0, "md5": 32, "sha256": 64}[kind]
            assert remote.url.startswith("https://")


def test_the_command_lists_and_fetches(shelf, flowers, tmp_path, home):
    listed = json.loads(CliRunner().invoke(app, ["fetch", "--json"]).stdout)
    assert [one["name"] for one in listed] == list(COLLECTIONS)
    answer = CliRunner().invoke(app, ["fetch", "flowers", "--to", str(tmp_path), "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["path"] == str(tmp_path / "flowers")
    assert "checksums.json" in answer.stderr


@pytest.mark.real_data
def test_what_is_fetched_can_be_ingested(shelf, tmp_path, real_data, key, monkeypatch):
    """The real MNIST files from a local server; the checksums are of these two as published."""
    files = sorted((real_data / "mnist").glob("t10k-*.gz"))
    remotes = tuple(one for one in COLLECTIONS["mnist"].files if one.name.startswith("t10k"))
    monkeypatch.setitem(COLLECTIONS, "mnist", replace(COLLECTIONS["mnist"], files=remotes))
    shelf.files = {f"/mnist/{path.name}": path.read_bytes() for path in files}
    shelf.breaks = 1
    result = fetch_public("mnist", tmp_path, mirror=shelf.address, downloader=FAST)
    assert ingest(str(result.path), tmp_path / "out", pseudonym_key=key).layout == "mnist"
