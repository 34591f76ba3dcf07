"""The version that served before: loaded, silent, and at hand."""

import pytest

from tests.serving.world import World


@pytest.fixture
def world(tmp_path, light_packages) -> World:
    return World(tmp_path, *light_packages)


def test_the_version_before_stays_loaded_and_answers_nobody(world):
    for version in ("1", "2"):
        world.approve(version)
        world.reconcile()
    assert set(world.server.archives) == {"1", "2"}
    assert not world.answers("1")
    world.server.restart()
    assert world.reconcile().outcome == "reloaded"
    assert set(world.server.archives) == {"1", "2"}
    assert not world.answers("1")


def test_a_way_back_that_does_not_load_any_more_is_given_up_and_what_serves_goes_on(world):
    for version in ("1", "2"):
        world.approve(version)
        world.reconcile()
    archive = world.state().previous.archive
    world.server.restart()
    (world.store / archive).unlink()
    assert world.reconcile().serving == "2"
    assert world.state().previous is None
    assert world.reconcile().outcome == "unchanged"
    assert set(world.server.archives) == {"2"}


def test_a_third_version_unloads_the_first(world, light_packages):
    world.registry.add("3", *light_packages[0])
    for version in ("1", "2", "3"):
        world.approve(version)
        world.reconcile()
    assert set(world.server.archives) == {"2", "3"}


def test_the_way_back_takes_no_steps_and_says_what_it_left(world):
    for version in ("1", "2"):
        world.approve(version)
        world.reconcile()
    world.plan([{"kind": "shadow", "seconds": 3600, "requests": 0}])
    world.registry.set_tag("1", "approval.meaning", "scores jumped")
    world.approve("1")
    assert world.reconcile().outcome == "released"
    assert world.server.current == "1"
    assert world.registry.aliases == {"champion": "1", "previous": "2"}
    assert world.registry.tag("2", "deployment.status") == "rolled_back"
    assert "scores jumped" in world.registry.tag("2", "deployment.reason")


def test_a_version_that_somebody_went_back_from_has_no_short_way_back(world):
    for version in ("1", "2", "1"):
        world.approve(version)
        assert world.reconcile().outcome == "released"
    world.plan([{"kind": "shadow", "seconds": 3600, "requests": 0}])
    world.approve("2")
    assert world.reconcile().outcome == "rolling_out"
    assert world.server.current == "1"
