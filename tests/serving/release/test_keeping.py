"""The released version is kept serving: TorchServe's word that it is registered is not enough."""

import pytest

from serving.errors import ModelLoadError
from serving.release.keeping import FORGOTTEN_AFTER_S, GRACE_S
from tests.serving.memory import MemoryServer
from tests.serving.world import World


class WholeArchivesOnly(MemoryServer):
    """Refuses, or has no worker for, an archive with other bytes than it was built with."""

    refuses = False

    def __init__(self, store):
        super().__init__(store)
        self.spoiled = b"not an archive"

    def register(self, archive: str) -> None:
        version, is_spoiled = archive.split("-")[2], (self.store / archive).read_bytes() == self.spoiled
        if is_spoiled and self.refuses:
            raise ModelLoadError("not an archive")
        super().register(archive)
        (self.broken.add if is_spoiled else self.broken.discard)(version)


@pytest.fixture
def world(tmp_path, light_packages) -> World:
    """Version 1 was released, and TorchServe started again on an archive that was spoiled."""
    world = World(tmp_path, *light_packages)
    world.server = WholeArchivesOnly(world.store)
    world.approve("1")
    world.reconcile()
    return world


def spoil_the_archive(world: World) -> None:
    archive = world.state().serving.archive
    (world.store / archive).write_bytes(world.server.spoiled)
    world.server.restart()


def start_without_a_worker(world: World) -> None:
    spoil_the_archive(world)
    world.server.register(world.state().serving.archive)


def is_ready(world: World) -> bool:
    return world.server.loaded()["1"].is_ready


def test_a_version_without_a_worker_is_loaded_again_from_its_package_after_a_grace(world):
    start_without_a_worker(world)
    assert world.reconcile().outcome == "unchanged"
    world.now += GRACE_S - 1
    assert world.reconcile().outcome == "unchanged"
    world.now += 2
    assert world.reconcile().outcome == "reloaded"
    assert is_ready(world)
    assert world.reconcile().outcome == "unchanged"
    assert world.state().unready_since is None


def test_a_worker_that_comes_back_within_the_grace_is_left_alone(world):
    for _ in range(3):
        world.server.broken.add("1")
        assert world.reconcile().outcome == "unchanged"
        world.now += GRACE_S - 1
        world.server.broken.clear()
        assert world.reconcile().outcome == "unchanged"
        world.now += GRACE_S - 1
    assert world.server.gaps == 0


@pytest.mark.parametrize("jump", [FORGOTTEN_AFTER_S + 1, -3600.0], ids=["nobody looked", "the clock was set back"])
def test_the_grace_begins_anew_when(world, jump):
    start_without_a_worker(world)
    world.reconcile()
    world.now += jump
    assert world.reconcile().outcome == "unchanged"
    world.now += GRACE_S
    assert world.reconcile().outcome == "reloaded"


def test_what_stays_without_a_worker_is_told_and_tried_once_a_grace(world, monkeypatch):
    start_without_a_worker(world)
    monkeypatch.setattr(world.server, "spoiled", (world.store / world.state().serving.archive).read_bytes())
    monkeypatch.setattr(world.server, "register", lambda archive: world.server.archives.setdefault("1", archive))
    world.reconcile()
    outcomes = []
    for _ in range(4):
        world.now += GRACE_S / 2
        outcomes.append(world.reconcile().outcome)
    assert outcomes == ["unchanged", "unavailable", "unchanged", "unavailable"]


def test_an_archive_that_torchserve_refuses_is_built_again_at_once(world):
    spoil_the_archive(world)
    world.server.refuses = True
    assert world.reconcile().outcome == "reloaded"
    assert is_ready(world)


def test_a_kept_package_that_was_changed_is_fetched_again_before_the_archive_is_built(world):
    start_without_a_worker(world)
    [kept] = (world.folder / "release" / "packages").iterdir()
    (kept / "model.safetensors").write_bytes(b"others")
    world.reconcile()
    world.now += GRACE_S
    assert world.reconcile().outcome == "reloaded"
    assert (kept / "model.safetensors").read_bytes() == b"no weights"


def test_a_half_loaded_successor_does_not_keep_the_version_from_being_mended(world):
    start_without_a_worker(world)
    world.server.archives["2"] = "chest-xray-2-half.mar"
    world.reconcile()
    world.now += GRACE_S
    assert world.reconcile().outcome == "reloaded"
    assert set(world.server.archives) == {"1"}


def test_a_successor_is_released_although_the_version_has_no_worker(world):
    start_without_a_worker(world)
    world.approve("2")
    assert world.reconcile().outcome == "released"
    assert world.server.current == "2"
