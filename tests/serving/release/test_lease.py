"""Which of several controllers acts: the real client against a stand-in API."""

import threading
from collections.abc import Iterator

import pytest
from kubernetes import client

from imaging.errors import ServiceError
from serving.release.lease import LENGTH_S, RENEW_AFTER_S, Lease
from serving.release.on_cluster import reconcile_on_cluster
from tests.serving.deployment_api import DeploymentApi


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> Iterator[DeploymentApi]:
    with DeploymentApi() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease_of(api: DeploymentApi, me: str, clock: Clock) -> Lease:
    configuration = client.Configuration(host=f"http://127.0.0.1:{api.server_port}")
    configuration.retries = False
    leases = client.CoordinationV1Api(client.ApiClient(configuration))
    return Lease("thorax-serving", "chest-xray-release", api=leases, me=me, clock=clock)


def held(api: DeploymentApi) -> dict:
    return api.leases["chest-xray-release"]["spec"]


def test_the_first_holds_it_and_the_second_waits(api: DeploymentApi, clock: Clock) -> None:
    first, second = lease_of(api, "first", clock), lease_of(api, "second", clock)
    assert first.hold()
    assert not second.hold()
    assert second.holder == "first"
    for _ in range(10):
        clock.now += RENEW_AFTER_S
        assert first.hold()
        assert not second.hold()
    assert held(api)["leaseTransitions"] == 0


def test_one_that_is_not_renewed_is_taken_over_and_its_old_holder_stays_out(api: DeploymentApi, clock: Clock) -> None:
    first, second = lease_of(api, "first", clock), lease_of(api, "second", clock)
    assert first.hold()
    assert not second.hold()
    clock.now += LENGTH_S - 1
    assert not second.hold()
    clock.now += 1
    assert second.hold()
    assert not first.hold()
    assert (held(api)["holderIdentity"], held(api)["leaseTransitions"]) == ("second", 1)


def test_of_two_that_take_it_at_once_one_gets_it(api: DeploymentApi, clock: Clock) -> None:
    takers = [lease_of(api, f"taker-{number}", clock) for number in range(8)]
    won: list[str] = []
    threads = [threading.Thread(target=lambda one=one: won.append(one.me) if one.hold() else None) for one in takers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [held(api)["holderIdentity"]]


def test_one_that_is_let_go_is_taken_at_once(api: DeploymentApi, clock: Clock) -> None:
    first, second = lease_of(api, "first", clock), lease_of(api, "second", clock)
    assert first.hold()
    second.release()
    assert held(api)["holderIdentity"] == "first"
    first.release()
    assert second.hold()


def test_a_cluster_that_refuses_or_is_away_is_said(api: DeploymentApi, clock: Clock) -> None:
    first = lease_of(api, "first", clock)
    assert first.hold()
    clock.now += RENEW_AFTER_S
    api.status = 403
    with pytest.raises(ServiceError, match="HTTP 403"):
        first.hold()


def test_a_controller_without_the_lease_looks_at_nothing(api: DeploymentApi, clock: Clock, home: object) -> None:
    lease_of(api, "first", clock).hold()
    told = reconcile_on_cluster(None, None, lease_of(api, "second", clock))  # type: ignore[arg-type]
    assert (told.outcome, told.reason) == ("unchanged", "another controller acts: first")
