"""What a real API server says of the manifests: `KUBECONFIG=… pytest -m cluster`.

It admits, defaults, binds rights and makes pods of workloads as no schema can show. Whether pods then run is another
matter: it needs nodes, images and secrets.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from imaging.errors import ServiceError
from serving.release.deployment import DeploymentTarget
from serving.release.lease import Lease
from tests.cluster.conftest import Api
from thorax.cluster.manifests import objects, overlays, render

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SERVING, PLATFORM, TRAINING = "thorax-serving", "thorax-platform", "thorax-training"


def until(holds: Callable[[], Any], within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.5)
    return found


@pytest.mark.parametrize("overlay", overlays())
def test_the_server_takes_every_object_of_an_overlay_without_a_warning(
    api: Api, namespaces: list[str], overlay: str
) -> None:
    found = objects(render(overlay))
    known = api.known(found)
    left = sorted({one["kind"] for one in found} - {one["kind"] for one in known})
    assert len(known) > 60
    done = api.apply(known, "--dry-run=server")
    assert len(done.stdout.splitlines()) == len(known)
    assert set(left) <= {"ExternalSecret"}, f"the cluster has no operator for {', '.join(left)}"


@pytest.fixture(scope="module")
def applied(api: Api, namespaces: list[str]) -> list[dict[str, Any]]:
    """The local overlay, for real."""
    found = api.known(objects(render("local")))
    api.apply(found)
    return found


def test_a_second_apply_changes_nothing(api: Api, applied: list[dict[str, Any]]) -> None:
    def generations() -> dict[str, int]:
        kinds = "deployments,statefulsets,cronjobs,networkpolicies,ingresses,services"
        found = [one for name in (SERVING, PLATFORM) for one in api.get(kinds, "-n", name)]
        return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"].get("generation", 0) for one in found}

    before = generations()
    assert len(before) > 20
    api.apply(applied)
    assert generations() == before


def test_quotas_limits_and_pod_security_admit_the_pods_of_every_workload(
    api: Api, applied: list[dict[str, Any]]
) -> None:
    """A pod that is refused is never made; its owner says why in a condition."""
    for one in applied:
        if one["kind"] == "Deployment":
            name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
            until(lambda name=name, namespace=namespace: _pods(api, namespace, name))
            (now,) = api.get("deployment", name, "-n", namespace)
            refused = [item for item in now["status"].get("conditions", []) if item["type"] == "ReplicaFailure"]
            assert not refused, refused
        if one["kind"] == "StatefulSet":
            name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
            until(lambda name=name, namespace=namespace: _pods(api, namespace, name))


def test_every_cron_job_makes_a_pod_that_is_admitted(api: Api, applied: list[dict[str, Any]]) -> None:
    jobs = [one for one in applied if one["kind"] == "CronJob"]
    assert len(jobs) >= 4
    for one in jobs:
        name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
        api.run("create", "job", f"--from=cronjob/{name}", f"try-{name}", "-n", namespace)
        until(lambda name=name, namespace=namespace: api.get("pods", "-n", namespace, "-l", f"job-name=try-{name}"))


def test_a_pod_that_asks_for_root_is_refused_where_patients_are(api: Api, applied: list[dict[str, Any]]) -> None:
    for namespace in (SERVING, PLATFORM):
        done = api.run("run", "rooted", "--image=busybox", "-n", namespace, "--dry-run=server", check=False)
        assert done.returncode != 0
        assert "violates PodSecurity" in done.stderr


@pytest.mark.parametrize(
    ("who", "what", "may"),
    [
        (f"{PLATFORM}:release-controller", ("patch", "deployments.apps/chest-xray", SERVING), True),
        (f"{PLATFORM}:release-controller", ("patch", "deployments.apps/mlflow", PLATFORM), False),
        (f"{PLATFORM}:release-controller", ("create", "deployments.apps", SERVING), False),
        (f"{PLATFORM}:release-controller", ("get", "secrets", SERVING), False),
        (f"{PLATFORM}:release-controller", ("update", "leases.coordination.k8s.io/chest-xray-release", SERVING), True),
        (f"{PLATFORM}:release-controller", ("update", "leases.coordination.k8s.io/another", SERVING), False),
        (f"{PLATFORM}:mlflow", ("get", "pods", PLATFORM), False),
        (f"{PLATFORM}:monitor", ("patch", "deployments.apps/chest-xray", SERVING), False),
        (f"{SERVING}:chest-xray", ("get", "secrets", SERVING), False),
        (f"{TRAINING}:trainer", ("create", "trainjobs.trainer.kubeflow.org", TRAINING), True),
        (f"{TRAINING}:trainer", ("patch", "deployments.apps/chest-xray", SERVING), False),
        (f"{TRAINING}:trainer", ("get", "secrets", TRAINING), False),
    ],
)
def test_each_workload_may_do_what_it_needs_and_no_more(
    api: Api, applied: list[dict[str, Any]], who: str, what: tuple[str, str, str], may: bool
) -> None:
    verb, resource, namespace = what
    asked = ("auth", "can-i", verb, resource, "-n", namespace, f"--as=system:serviceaccount:{who}")
    assert api.run(*asked, check=False).stdout.strip() == ("yes" if may else "no")


def test_the_release_controller_tells_the_deployment_by_its_own_rights(api: Api, applied: list[dict[str, Any]]) -> None:
    """The real client, the real strategic merge and the real conflict, signed in as the controller's account."""
    client = _signed_in(api, "release-controller")
    lease = Lease(SERVING, "chest-xray-release", api=client.CoordinationV1Api(), me="first")
    assert lease.hold()
    assert not Lease(SERVING, "chest-xray-release", api=client.CoordinationV1Api(), me="second").hold()
    target = DeploymentTarget(SERVING, "chest-xray", api=client.AppsV1Api())
    before = until(lambda: (now := target.read()).version == "" and now)
    told = {"version": "7", "digest": "sha256:" + "7" * 64, "release": "r7", "may_return": False}
    until(lambda: target.serve(target.read(), **told))
    assert not target.serve(before, **told), "a change made from an old state was taken"
    after = target.read()
    assert (after.version, after.digest, after.release) == ("7", "sha256:" + "7" * 64, "r7")
    (now,) = api.get("deployment", "chest-xray", "-n", SERVING)
    first = now["spec"]["template"]["spec"]["initContainers"][0]
    names = [one["name"] for one in first["env"]]
    assert {"THORAX_MLFLOW_USERNAME", "THORAX_MODEL_VERSION", "THORAX_MODEL_DIGEST"} <= set(names)
    assert len(names) == len(set(names))
    with pytest.raises(ServiceError, match="403"):
        DeploymentTarget(PLATFORM, "mlflow", container="x", api=client.AppsV1Api()).read()
    lease.release()


def test_another_apply_leaves_the_version_that_the_controller_wrote(api: Api, applied: list[dict[str, Any]]) -> None:
    api.apply(applied)
    (now,) = api.get("deployment", "chest-xray", "-n", SERVING)
    env = now["spec"]["template"]["spec"]["initContainers"][0]["env"]
    assert {"name": "THORAX_MODEL_VERSION", "value": "7"} in env


def _pods(api: Api, namespace: str, name: str) -> list[dict[str, Any]]:
    return api.get("pods", "-n", namespace, "-l", f"app.kubernetes.io/name={name}")


def _signed_in(api: Api, account: str) -> Any:
    """Return the client with a token of a service account and nothing of KUBECONFIG's own login."""
    from kubernetes import client, config

    settings = client.Configuration()
    config.load_kube_config(client_configuration=settings)
    token = api.run("create", "token", account, "-n", PLATFORM).stdout.strip()
    settings.api_key = {"authorization": f"Bearer {token}"}
    settings.cert_file = settings.key_file = settings.refresh_api_key_hook = None
    client.Configuration.set_default(settings)
    return client
