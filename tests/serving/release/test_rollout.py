"""A version takes over in steps: a registry and a server in memory, real links, real rows of the prediction log."""

import pytest

from tests.serving.world import World

SHADOW = {"kind": "shadow", "seconds": 60, "requests": 0}
CANARY = {"kind": "canary", "share": 0.1, "seconds": 60, "requests": 0}
HALF = {"kind": "canary", "share": 0.5, "seconds": 60, "requests": 0}


@pytest.fixture
def world(tmp_path, light_packages) -> World:
    """Version 1 serves, version 2 is approved."""
    world = World(tmp_path, *light_packages)
    world.plan([SHADOW, CANARY, HALF])
    world.approve("1")
    assert world.reconcile().outcome == "released"
    world.approve("2")
    return world


def test_a_version_takes_over_step_by_step(world):
    seen = []
    for _ in range(4):
        result = world.reconcile()
        aliases = {name: at for name, at in world.registry.aliases.items() if name in ("shadow", "canary")}
        status = world.registry.tag("2", "deployment.status")
        seen.append((result.outcome, status, world.traffic.shadow(), world.routes(), aliases))
        world.now += 61
    both = {"canary": "2", "shadow": "2"}
    assert seen == [
        ("rolling_out", "shadow", "2", {"default": 100}, {"shadow": "2"}),
        ("rolling_out", "canary", "", {"2": 10, "default": 90}, both),
        ("rolling_out", "canary", "", {"2": 50, "default": 50}, both),
        ("released", "serving", "", {"default": 100}, {}),
    ]
    assert world.server.current == "2"
    shifted = [event.details["step"] for event in world.log.events(action="release.shifted")]
    assert shifted == ["shadow", "canary 10 %", "canary 50 %"]


def test_a_step_is_held_as_it_is_until_its_time_has_passed(world):
    world.reconcile()
    for _ in range(3):
        world.now += 19
        assert world.reconcile().reason == "shadow"
    assert [one.version for one in world.gate.read().released] == ["1"]
    assert world.gate.read().shadow.version == "2"
    assert world.actions().count("release.shifted") == 1


def test_a_version_in_shadow_answers_no_client(world):
    world.reconcile()
    assert not world.answers("2")


def test_a_step_waits_for_as_many_requests_as_the_plan_asks(tmp_path, light_packages):
    world = World(tmp_path, *light_packages)
    world.plan([SHADOW | {"seconds": 0, "requests": 30}])
    world.approve("1")
    world.reconcile()
    world.approve("2")
    world.reconcile()
    for number in (10, 30):
        assert world.reconcile().outcome == "rolling_out"
        world.log_answers("1", number, stage="champion")
        world.log_answers("2", number, stage="shadow")
    assert world.reconcile().outcome == "released"


def test_a_version_that_names_other_classes_in_shadow_is_sent_back(world):
    world.reconcile()
    world.now += 1
    world.log_answers("1", 40, stage="champion")
    world.log_answers("2", 40, stage="shadow", prediction="covid")
    result = world.reconcile()
    assert result.outcome == "rolled_back"
    assert "another class for 40 of 40 images" in result.reason
    assert world.registry.aliases == {"champion": "1"}
    assert set(world.server.archives) == {"1"}
    assert world.traffic.shadow() == ""
    event = world.log.events(action="release.rolled_back")[-1]
    assert event.details["code"] == "rollout_breach"


def test_a_slow_canary_is_sent_back_and_the_version_that_served_goes_on(world):
    world.reconcile()
    world.now += 61
    world.reconcile()
    world.now += 1
    world.log_answers("1", 500, stage="champion", milliseconds=20)
    world.log_answers("2", 100, stage="canary", milliseconds=90)
    result = world.reconcile()
    assert result.outcome == "rolled_back"
    assert "90 ms against 20 ms" in result.reason
    assert world.routes() == {"default": 100}
    assert world.server.current == "1"


def test_a_canary_that_nothing_reaches_is_no_success(world):
    world.reconcile()
    world.now += 61
    world.reconcile()
    world.now += 1
    world.log_answers("1", 500, stage="champion")
    assert "answered 0 of some 50 requests" in world.reconcile().reason


def test_a_version_that_torchserve_lost_gets_no_traffic_until_it_is_ready_again(world):
    world.reconcile()
    world.now += 61
    world.reconcile()
    world.server.restart()
    assert world.reconcile().outcome == "rolling_out"
    assert set(world.server.archives) == {"1", "2"}
    assert world.routes() == {"2": 10, "default": 90}
    assert world.server.current == "1"


def test_a_step_begins_anew_where_the_version_was_lost_meanwhile(world):
    world.reconcile()
    world.now += 50
    world.server.restart()
    assert world.reconcile().reason == "shadow"
    world.now += 50
    assert world.reconcile().reason == "shadow"
    world.now += 11
    assert world.reconcile().reason == "canary 10 %"


def test_a_version_that_is_lost_again_and_again_is_sent_back(world):
    world.reconcile()
    for _ in range(3):
        world.server.restart()
        assert world.reconcile().outcome == "rolling_out"
    world.server.restart()
    result = world.reconcile()
    assert result.outcome == "rolled_back"
    assert "without a worker 4 times" in result.reason
    assert world.server.current == "1"


def test_an_approver_who_changes_their_mind_ends_the_rollout(world):
    world.reconcile()
    world.now += 61
    world.reconcile()
    world.approve("1")
    assert world.reconcile().outcome == "unchanged"
    assert world.routes() == {"default": 100}
    assert set(world.server.archives) == {"1"}
    assert world.registry.tag("2", "deployment.status") == "rolled_back"


def test_a_release_keeps_the_plan_that_it_began_with(world):
    world.reconcile()
    world.plan([])
    world.now += 61
    assert world.reconcile().reason == "canary 10 %"


def test_a_plan_that_cannot_be_read_lets_nothing_begin_and_the_old_version_serve(world):
    (world.folder / "rollout.yaml").write_text("steps: [", encoding="utf-8")
    with pytest.raises(Exception, match="rollout plan") as raised:
        world.reconcile()
    assert raised.value.code == "bad_configuration"
    assert world.server.current == "1"
    world.plan([])
    assert world.reconcile().outcome == "released"
