"""The release step, killed before and after every call it makes to the outside."""

import itertools

import pytest

from tests.serving.world import Killed, Killer, World


def _kill_everywhere(make_world, *, after: bool, least: int = 10):
    """Yield the world after a kill at each call in turn, until a whole run has no call left to be killed at."""
    for number in itertools.count(1):
        world = make_world(number)
        killer = Killer(number, after=after)
        try:
            world.reconcile(killer)
        except Killed:
            yield world
            continue
        assert number > least
        return


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_release_killed_anywhere_ends_well(tmp_path, light_packages, after):
    def make_world(number: int) -> World:
        world = World(tmp_path / str(number), *light_packages)
        world.approve("1")
        world.reconcile()
        world.approve("2")
        return world

    for world in _kill_everywhere(make_world, after=after):
        assert world.server.current in {"1", "2"}
        world.reconcile()
        assert world.reconcile().outcome == "unchanged"
        assert set(world.server.archives) == {"1", "2"}
        assert world.server.current == "2"
        assert world.server.gaps == 0
        assert "" not in world.answered[world.answered.index("1") :]
        assert not world.answers("1")
        assert world.registry.aliases == {"champion": "2", "previous": "1"}
        assert world.registry.tag("2", "deployment.status") == "serving"
        assert world.actions() == ["release.started", "release.completed"] * 2
        assert world.state().pending is None
        assert world.log.verify().ok


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("is_good", [True, False], ids=["good", "bad"])
def test_a_first_release_killed_anywhere_never_lets_an_untested_version_answer(
    tmp_path, light_packages, is_good, after
):
    def make_world(number: int) -> World:
        world = World(tmp_path / str(number), *light_packages)
        world.wrong_answers = set() if is_good else {"1"}
        world.approve("1")
        return world

    for world in _kill_everywhere(make_world, after=after):
        world.watch()
        world.reconcile()
        world.reconcile()
        assert world.answers("1") == is_good
        assert set(world.answered) <= {"", "1" if is_good else ""}
        assert [one.version for one in world.gate.read().released] == (["1"] if is_good else [])
        assert world.gate.read().smoke_test is None
        assert world.state().pending is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", ["gates", "smoke"])
def test_a_refusal_killed_anywhere_ends_well(tmp_path, light_packages, fault, after):
    def make_world(number: int) -> World:
        world = World(tmp_path / str(number), *light_packages)
        world.approve("1")
        world.reconcile()
        if fault == "gates":
            world.registry.set_tag("2", "gates", "failed")
        world.wrong_answers = {"2"}
        world.approve("2")
        return world

    outcome = {"gates": "approval.refused", "smoke": "release.rolled_back"}[fault]
    for world in _kill_everywhere(make_world, after=after):
        world.reconcile()
        world.reconcile()
        assert set(world.server.archives) == {"1"}
        assert world.server.gaps == 0
        assert set(world.answered[world.answered.index("1") :]) == {"1"}
        assert [one.version for one in world.gate.read().released] == ["1"]
        assert world.registry.aliases["champion"] == "1"
        assert world.registry.tag("2", "deployment.status") == {"gates": "refused", "smoke": "rolled_back"}[fault]
        assert world.actions().count(outcome) == 1
        assert world.state().pending is None


def test_a_release_given_up_half_way_is_recorded_as_rolled_back(tmp_path, light_packages):
    world = World(tmp_path, *light_packages)
    world.approve("1")
    world.reconcile()
    world.approve("2")
    with pytest.raises(Killed):
        world.reconcile(_kill_at_the_smoke_test(world))
    world.approve("1")
    assert world.reconcile().outcome == "unchanged"
    assert set(world.server.archives) == {"1"}
    assert world.actions()[-1] == "release.rolled_back"
    assert world.registry.tag("2", "deployment.status") == "rolled_back"


STEPS = [
    {"kind": "shadow", "seconds": 0, "requests": 0},
    {"kind": "canary", "share": 0.1, "seconds": 60, "requests": 0},
    {"kind": "canary", "share": 0.5, "seconds": 0, "requests": 0},
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("ending", ["completed", "rolled back", "moved on"])
def test_a_rollout_killed_anywhere_ends_as_the_registry_asks(tmp_path, light_packages, ending, after):
    def make_world(number: int) -> World:
        world = World(tmp_path / str(number), *light_packages)
        world.approve("1")
        world.reconcile()
        world.plan(STEPS)
        world.approve("2")
        if number % 2:
            return world
        world.reconcile()  # half of the kills come when it is a canary already
        assert world.registry.tag("2", "deployment.status") == "canary"
        world.end_the_rollout(ending)
        return world

    for world in _kill_everywhere(make_world, after=after, least=6):
        world.reconcile()
        world.end_the_rollout(ending)
        world.reconcile()
        world.reconcile()
        served = "2" if ending == "completed" else "1"
        assert world.server.current == served
        assert world.server.gaps == 0
        assert "" not in world.answered[world.answered.index("1") :]
        assert world.routes() == {"default": 100}
        assert world.traffic.shadow() == ""
        assert [one.version for one in world.gate.read().released] == [served]
        assert world.registry.aliases["champion"] == served
        assert not {"shadow", "canary"} & set(world.registry.aliases)
        status = {"completed": "serving", "rolled back": "rolled_back", "moved on": "rolled_back"}[ending]
        assert world.registry.tag("2", "deployment.status") == status
        shifted = [event.details["step"] for event in world.log.events(action="release.shifted")]
        assert shifted == ["shadow", "canary 10 %", "canary 50 %"][: len(shifted)]
        assert world.state().pending is None
        assert world.log.verify().ok


def _kill_at_the_smoke_test(world: World) -> Killer:
    class AtSmokeTest(Killer):
        def call(self, function):
            if function == world.smoke_test:
                return super().call(function)
            return function

    return AtSmokeTest(1, after=False)
