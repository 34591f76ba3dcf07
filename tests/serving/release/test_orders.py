"""Pause and resume."""

import pytest

from imaging.errors import ConfigurationError, ServiceError
from serving.release.orders import pause, pause_of, resume
from tests.serving.world import World

CANARY = {"kind": "canary", "share": 0.1, "seconds": 60, "requests": 0}


@pytest.fixture
def world(tmp_path, light_packages) -> World:
    world = World(tmp_path, *light_packages)
    world.approve("1")
    world.reconcile()
    return world


def wait(world: World) -> None:
    pause(world.folder / "release", world.log, by="approver", reason="a night of maintenance")


def test_nothing_begins_while_releases_wait(world):
    wait(world)
    world.approve("2")
    result = world.reconcile()
    assert (result.outcome, result.reason) == ("paused", "approver: a night of maintenance")
    assert set(world.server.archives) == {"1"}
    assert resume(world.folder / "release", world.log, by="approver")
    assert world.reconcile().outcome == "released"


def test_a_rollout_stays_where_it_is_and_goes_on_afterwards(world):
    world.plan([CANARY])
    world.approve("2")
    world.reconcile()
    wait(world)
    world.now += 3600
    assert world.reconcile().outcome == "paused"
    assert world.routes() == {"2": 10, "default": 90}
    resume(world.folder / "release", world.log, by="approver")
    assert world.reconcile().outcome == "released"


def test_a_breach_is_rolled_back_all_the_same(world):
    world.plan([CANARY])
    world.approve("2")
    world.reconcile()
    wait(world)
    world.log_answers("1", 250, stage="champion")
    assert world.reconcile().outcome == "rolled_back"


def test_the_way_back_is_open_all_the_same(world):
    world.approve("2")
    world.reconcile()
    wait(world)
    world.approve("1")
    assert world.reconcile().outcome == "released"
    assert world.server.current == "1"


def test_orders_are_on_the_record_with_who_and_why(world):
    wait(world)
    resume(world.folder / "release", world.log, by="admin", reason="done")
    told = [
        (event.actor, event.details["did"], event.details["reason"]) for event in world.log.events(subject="release")
    ]
    assert told == [("approver", "paused", "a night of maintenance"), ("admin", "resumed", "done")]


def test_there_is_nothing_to_resume_where_nothing_waits(world):
    assert not resume(world.folder / "release", world.log, by="approver")
    assert world.log.events(subject="release") == []


def test_a_pause_without_a_reason_is_refused(world):
    with pytest.raises(ConfigurationError, match="reason"):
        pause(world.folder / "release", world.log, by="approver", reason=" ")


def test_a_spoilt_pause_is_told_and_lets_nothing_begin(world):
    (world.folder / "release" / "paused.json").write_text("{", encoding="utf-8")
    with pytest.raises(ServiceError, match="pause"):
        pause_of(world.folder / "release")
    world.approve("2")
    assert world.reconcile().outcome == "unavailable"
    assert world.server.current == "1"
