"""The release step on Kubernetes: the real client against a stand-in API, a registry in memory, a real record."""

import threading

import pytest
from kubernetes import client

from imaging.errors import NotFoundError, ServiceError
from serving import controller
from serving.release.deployment import DeploymentTarget
from serving.release.on_cluster import ClusterRelease
from serving.release.record import ReleaseRecord
from tests.serving.deployment_api import DeploymentApi
from tests.serving.world import Killed, Killer, World


@pytest.fixture
def api():
    with DeploymentApi() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def target_of(api: DeploymentApi) -> DeploymentTarget:
    configuration = client.Configuration(host=f"http://127.0.0.1:{api.server_port}")
    configuration.retries = False
    return DeploymentTarget("thorax-serving", "chest-xray", api=client.AppsV1Api(client.ApiClient(configuration)))


@pytest.fixture
def world(tmp_path, light_packages) -> World:
    return World(tmp_path, *light_packages)


def reconcile(world: World, api: DeploymentApi, killer: Killer | None = None):
    killer = killer or Killer(0, after=False)
    registry = killer.wrap(world.registry)
    record = ReleaseRecord(killer.wrap(world.log))
    target = killer.wrap(target_of(api))
    return ClusterRelease(champion=registry.champion, registry=registry, target=target, record=record).run()


def release(world: World, api: DeploymentApi, version: str) -> None:
    world.approve(version)
    assert reconcile(world, api).outcome == "rolling_out"
    api.roll_out()
    assert reconcile(world, api).outcome == "released"


def test_without_a_champion_the_pods_are_told_nothing(world, api):
    assert reconcile(world, api).reason == "no version is champion"
    assert (api.told, api.patches) == ("", 0)


def test_a_champion_is_told_to_the_pods_and_serves_once_all_of_them_are_ready(world, api):
    world.approve("1")
    assert reconcile(world, api).outcome == "rolling_out"
    assert api.told == "1"
    assert reconcile(world, api).reason == "0 of 3 pods are ready"
    assert world.actions() == ["release.started"]
    api.roll_out()
    assert reconcile(world, api).outcome == "released"
    assert reconcile(world, api).outcome == "unchanged"
    assert world.actions() == ["release.started", "release.completed"]
    assert (api.patches, world.registry.tag("1", "deployment.status")) == (1, "serving")


def test_a_second_champion_retires_the_first(world, api):
    release(world, api, "1")
    release(world, api, "2")
    assert world.registry.aliases == {"champion": "2", "previous": "1"}
    assert world.registry.tag("1", "deployment.status") == "retired"


def test_pods_that_never_become_ready_are_rolled_back_and_the_alias_put_back(world, api):
    release(world, api, "1")
    world.approve("2")
    reconcile(world, api)
    api.give_up()
    result = reconcile(world, api)
    assert (result.outcome, result.serving, result.version) == ("rolled_back", "1", "2")
    assert (api.told, world.registry.aliases["champion"]) == ("1", "1")
    assert world.registry.tag("2", "deployment.status") == "rolled_back"
    api.roll_out()
    reconcile(world, api)
    assert reconcile(world, api).outcome == "unchanged"
    assert world.actions().count("release.rolled_back") == 1
    assert world.registry.tag("1", "deployment.status") == "serving"


def test_a_first_version_that_never_becomes_ready_leaves_no_champion(world, api):
    world.approve("1")
    reconcile(world, api)
    api.give_up()
    assert reconcile(world, api).outcome == "rolled_back"
    assert (api.told, world.registry.aliases) == ("", {})


def test_what_a_half_finished_release_told_the_pods_is_no_way_back(world, api, light_packages):
    release(world, api, "1")
    world.approve("2")
    reconcile(world, api)
    world.registry.add("3", *light_packages[0])
    world.approve("3")
    reconcile(world, api)
    assert api.told == "3"
    api.give_up()
    reconcile(world, api)
    assert api.told == "1"


@pytest.mark.parametrize("flaw", ["gates", "approval"])
def test_a_version_that_may_not_serve_is_refused_and_the_alias_put_back(world, api, light_packages, flaw):
    release(world, api, "1")
    world.registry.add("3", *light_packages[0], gates="failed" if flaw == "gates" else "passed")
    if flaw == "gates":
        world.approve("3")
    else:
        world.registry.set_alias("3", "champion")
    result = reconcile(world, api)
    assert (result.outcome, result.version) == ("refused", "3")
    assert (api.told, world.registry.aliases["champion"]) == ("1", "1")
    assert world.actions()[-1] == "approval.refused"


def test_a_deployment_that_somebody_else_changed_meanwhile_is_looked_at_again(world, api):
    world.approve("1")
    target = target_of(api)
    standing = target.read()
    api.touch()
    assert target.serve(standing, version="1", digest="d", release="r", may_return=False) is False
    assert api.patches == 0
    assert reconcile(world, api).outcome == "rolling_out"


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_the_next_one_ends_the_release_and_records_it_once(tmp_path, light_packages, after):
    for kill_at in range(1, 100):
        place = tmp_path / str(kill_at)
        place.mkdir()
        world = World(place, *light_packages)
        with DeploymentApi() as api:
            threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            release(world, api, "1")
            world.approve("2")
            killer, killed = Killer(kill_at, after=after), False
            for _ in range(4):
                try:
                    reconcile(world, api, killer)
                except Killed:
                    killed = True
                if api.told == "2":
                    api.roll_out()
            for _ in range(3):
                reconcile(world, api)
                api.roll_out()
            assert reconcile(world, api).outcome == "unchanged"
            assert [world.actions().count(f"release.{one}") for one in ("started", "completed")] == [2, 2]
            assert world.registry.aliases == {"champion": "2", "previous": "1"}
            api.shutdown()
        if not killed:
            return
    pytest.fail("the release makes more calls than this test kills")


def test_an_api_that_refuses_or_is_not_there_is_told_and_tried_again(world, api):
    api.status = 403
    assert "HTTP 403" in reconcile(world, api).reason
    api.status = 404
    with pytest.raises(NotFoundError, match="no deployment chest-xray"):
        reconcile(world, api)
    configuration = client.Configuration(host="http://127.0.0.1:9")
    configuration.retries = False
    nobody = DeploymentTarget("a", "b", api=client.AppsV1Api(client.ApiClient(configuration)))
    with pytest.raises(ServiceError, match="does not answer"):
        nobody.read()


def test_the_controller_says_that_there_is_no_cluster_in_words(home, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(home / "none"))
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(ServiceError, match="no cluster"):
        controller._look_of("thorax-serving/chest-xray")
