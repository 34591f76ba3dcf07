"""Every pod is confined, sized, probed and ended as a strict cluster wants it."""

import re

from tests.infra.test_references import WORKLOADS, of, place, templates
from thorax.cluster.manifests import containers, images

CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9}


def amount(quantity: str | int) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(quantity)).groups()
    return float(number) * UNITS[unit]


def boxes(found: list[dict]):
    for one, template in templates(found):
        for box in containers(template["spec"]):
            yield f"{one['metadata']['name']}/{box['name']}", template["spec"], box


def test_every_pod_runs_without_root_and_writes_to_volumes_alone(found: list[dict]) -> None:
    for name, spec, box in boxes(found):
        assert box["securityContext"] == CONFINED, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        assert not spec.get("hostNetwork")
        assert not spec.get("hostPID")


def test_only_the_release_controller_has_a_token_of_the_clusters_api(found: list[dict]) -> None:
    with_token = [
        one["metadata"]["name"]
        for one, template in templates(found)
        if template["spec"]["automountServiceAccountToken"] is not False
    ]
    assert with_token == ["release-controller"]
    accounts = [template["spec"]["serviceAccountName"] for _, template in templates(found)]
    assert "default" not in accounts
    for account in of(found, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_trainer_cannot_touch_deployments_and_the_controller_can_touch_one(found: list[dict]) -> None:
    roles = {one["metadata"]["name"]: one["rules"] for one in of(found, "Role")}
    assert not any("deployments" in rule["resources"] or "*" in rule["resources"] for rule in roles["trainer"])
    rule, *leases = roles["release-controller"]
    assert (rule["resources"], rule["resourceNames"], rule["verbs"]) == (
        ["deployments"],
        ["chest-xray"],
        ["get", "patch"],
    )
    assert {word for one in leases for word in one["resources"]} == {"leases"}
    assert not any("secrets" in rule["resources"] for rules in roles.values() for rule in rules)


def test_what_a_container_may_use_is_at_least_what_it_asks_for(found: list[dict]) -> None:
    for name, _, box in boxes(found):
        asked, most = box["resources"]["requests"], box["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= asked.keys() & most.keys(), name
        assert all(amount(asked[kind]) <= amount(most[kind]) for kind in asked), name
        assert asked["memory"] == most["memory"] or name.startswith("chest-xray/torchserve") or "bucket" in name, name


def test_the_quotas_hold_as_many_pods_as_may_be_there(overlay: str, found: list[dict]) -> None:
    quota = next(one for one in of(found, "ResourceQuota") if one["metadata"]["name"] == "serving")
    (scaler,) = of(found, "HorizontalPodAutoscaler", "ScaledObject")
    most = scaler["spec"].get("maxReplicas") or scaler["spec"]["maxReplicaCount"]
    gpus = amount(quota["spec"]["hard"]["requests.nvidia.com/gpu"])
    assert gpus == 0 if overlay == "local" else gpus >= most + 1


def test_what_stays_up_is_probed_and_what_ends_is_bounded(found: list[dict]) -> None:
    for one, template in templates(found):
        if one["kind"] == "CronJob":
            job = one["spec"]["jobTemplate"]["spec"]
            assert one["spec"]["concurrencyPolicy"] == "Forbid"
            assert job["activeDeadlineSeconds"]
            assert job["ttlSecondsAfterFinished"]
            assert one["spec"]["startingDeadlineSeconds"] >= 1800
            assert template["spec"]["restartPolicy"] == "Never"
        else:
            for box in template["spec"]["containers"]:
                assert {"readinessProbe", "livenessProbe"} <= box.keys(), box["name"]


def test_a_schedule_is_one_that_cron_takes_and_no_two_begin_together(found: list[dict]) -> None:
    field = r"(\*|\d{1,2})(/\d{1,2})?"
    schedules = [one["spec"]["schedule"] for one in of(found, "CronJob")]
    assert all(re.fullmatch(" ".join([field] * 5), schedule) for schedule in schedules)
    assert len(set(schedules)) == len(schedules)
    assert all(one["spec"]["timeZone"] == "Etc/UTC" for one in of(found, "CronJob"))


def test_a_serving_pod_ends_after_everything_that_it_has_in_hand(found: list[dict]) -> None:
    serving = next(one for one in of(found, "Deployment") if one["metadata"]["name"] == "chest-xray")
    spec = serving["spec"]["template"]["spec"]
    waits = {box["name"]: box["lifecycle"]["preStop"]["sleep"]["seconds"] for box in spec["containers"]}
    edge_drains = 60
    assert waits["edge"] + edge_drains <= waits["torchserve"] <= waits["log"] < spec["terminationGracePeriodSeconds"]
    assert serving["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_images_are_named_by_digest_where_patients_are(overlay: str, found: list[dict]) -> None:
    named = images(found)
    assert not any(image.endswith(":latest") for image in named)
    if overlay in ("staging", "production"):
        assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in named), named
    else:
        assert all(re.search(r":[a-z0-9.]+$", image) for image in named), named


def test_pod_security_is_enforced_in_every_namespace(found: list[dict]) -> None:
    enforced = {
        one["metadata"]["name"]: one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for one in of(found, "Namespace")
    }
    assert enforced == {"thorax-serving": "restricted", "thorax-platform": "restricted", "thorax-training": "baseline"}
    assert {place(one) for one in of(found, *WORKLOADS)} <= {"thorax-serving", "thorax-platform"}
