"""What one object says of another is so: labels, ports, volumes, accounts, secrets, edges of the network."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from audit.postgres import schema
from thorax.cluster.bootstrap import given_objects
from thorax.cluster.manifests import containers, pod_specs
from thorax.cluster.references import made, wanted

GIVEN = {
    "local": {
        ("thorax-serving", "ConfigMap", "thorax-signing-key"),
        ("thorax-serving", "Secret", "client-authority"),
        ("thorax-serving", "Secret", "thorax-audit"),
        ("thorax-serving", "Secret", "thorax-clients"),
        ("thorax-serving", "Secret", "thorax-mlflow"),
        ("thorax-serving", "Secret", "thorax-s3"),
        ("thorax-platform", "Secret", "thorax-audit"),
        ("thorax-platform", "Secret", "thorax-bucket"),
        ("thorax-platform", "Secret", "thorax-postgres"),
        ("thorax-platform", "Secret", "thorax-registry"),
        ("thorax-platform", "Secret", "thorax-s3"),
    },
    "staging": {
        ("thorax-serving", "ConfigMap", "thorax-signing-key"),
        ("thorax-serving", "Secret", "client-authority"),
        ("thorax-platform", "Secret", "thorax-postgres"),
    },
    "production": {
        ("thorax-serving", "ConfigMap", "thorax-signing-key"),
        ("thorax-serving", "Secret", "client-authority"),
    },
}
"""What a person or an operator gives; `thorax infra bootstrap` asks for each."""
WORKLOADS = ("Deployment", "StatefulSet", "CronJob")


def of(found: list[dict], *kinds: str) -> list[dict]:
    return [one for one in found if one["kind"] in kinds]


def place(one: dict) -> str:
    return one["metadata"].get("namespace", "")


def templates(found: list[dict]) -> Iterator[tuple[dict, dict]]:
    """Each workload with its pod template."""
    for one in of(found, *WORKLOADS):
        spec = one["spec"]
        yield one, (spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec)["template"]


def labels(template: dict) -> dict[str, str]:
    return template["metadata"]["labels"]


def matches(selector: dict[str, Any], given: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}) if selector else {}
    chosen = selector.get("matchExpressions", []) if selector else []
    return all(given.get(key) == value for key, value in exact.items()) and all(
        given.get(one["key"]) in one["values"] for one in chosen
    )


def pods(found: list[dict], namespace: str, selector: dict) -> list[dict]:
    return [
        template
        for one, template in templates(found)
        if place(one) == namespace and matches(selector, labels(template))
    ]


def ports_of(template: dict) -> set[str | int]:
    named = [port for box in template["spec"]["containers"] for port in box.get("ports", [])]
    return {port["name"] for port in named} | {port["containerPort"] for port in named}


def test_what_pods_ask_for_is_made_here_or_is_known_to_be_given(overlay: str, found: list[dict]) -> None:
    assert set(given_objects(found)) == GIVEN[overlay]
    assert wanted(found) - made(found) == GIVEN[overlay]


def test_no_secret_is_in_the_manifests(found: list[dict]) -> None:
    assert not of(found, "Secret")
    text = str(found).lower()
    assert not re.search(r"-----begin|password['\"]?: ['\"][^'\"{]{4,}", text)


def test_selectors_match_their_own_pods_and_nobody_elses(found: list[dict]) -> None:
    for one in of(found, "Deployment", "StatefulSet"):
        chosen = pods(found, place(one), one["spec"]["selector"])
        assert chosen == [one["spec"]["template"]], one["metadata"]["name"]


def test_every_service_has_pods_and_its_ports_are_theirs(found: list[dict]) -> None:
    for service in of(found, "Service"):
        chosen = pods(found, place(service), {"matchLabels": service["spec"]["selector"]})
        assert len(chosen) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports_of(chosen[0])


def test_every_ingress_leads_to_a_port_of_a_service(found: list[dict]) -> None:
    services = {(place(one), one["metadata"]["name"]): one for one in of(found, "Service")}
    for ingress in of(found, "Ingress"):
        assert {host for tls in ingress["spec"]["tls"] for host in tls["hosts"]} == {
            rule["host"] for rule in ingress["spec"]["rules"]
        }
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = services[place(ingress), backend["name"]]
                assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_every_mounted_volume_is_there_and_every_volume_is_mounted(found: list[dict]) -> None:
    for one, template in templates(found):
        claimed = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        there = {volume["name"] for volume in template["spec"].get("volumes", [])} | claimed
        mounted = {mount["name"] for box in containers(template["spec"]) for mount in box.get("volumeMounts", [])}
        assert mounted == there, one["metadata"]["name"]


def test_every_claim_has_its_volume(found: list[dict]) -> None:
    volumes = {one["metadata"]["name"]: one for one in of(found, "PersistentVolume")}
    for claim in of(found, "PersistentVolumeClaim"):
        if "volumeName" in claim["spec"]:
            volume = volumes.pop(claim["spec"]["volumeName"])
            assert volume["spec"]["accessModes"] == claim["spec"]["accessModes"]
            assert volume["spec"]["capacity"]["storage"] == claim["spec"]["resources"]["requests"]["storage"]
    assert not volumes


def test_whoever_scales_or_protects_names_a_workload_that_is_there(found: list[dict]) -> None:
    deployments = {(place(one), one["metadata"]["name"]) for one in of(found, "Deployment")}
    scalers = of(found, "HorizontalPodAutoscaler", "ScaledObject")
    assert len(scalers) == 1, "one of them scales, never both"
    for scaler in scalers:
        assert (place(scaler), scaler["spec"]["scaleTargetRef"]["name"]) in deployments
    for budget in of(found, "PodDisruptionBudget"):
        assert pods(found, place(budget), budget["spec"]["selector"])
    for one in of(found, "Deployment"):
        scaled = one["metadata"]["name"] in {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers}
        assert ("replicas" in one["spec"]) != scaled, "whoever is scaled has no number of its own"


def test_every_role_is_given_to_an_account_that_is_there(found: list[dict]) -> None:
    there = made(found)
    for binding in of(found, "RoleBinding"):
        assert (place(binding), "Role", binding["roleRef"]["name"]) in there
        for subject in binding["subjects"]:
            assert (subject["namespace"], "ServiceAccount", subject["name"]) in there
    assert not of(found, "ClusterRole", "ClusterRoleBinding")


def edges(found: list[dict]) -> Iterator[tuple[dict, str, dict, list]]:
    """Each named edge of the network: the policy, the direction, the peer, the ports."""
    for policy in of(found, "NetworkPolicy"):
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                for peer in rule[side]:
                    yield policy, direction, peer, rule.get("ports", [])


def test_every_namespace_begins_by_denying_everything(found: list[dict]) -> None:
    for namespace in of(found, "Namespace"):
        name = namespace["metadata"]["name"]
        denied = [
            one
            for one in of(found, "NetworkPolicy")
            if place(one) == name and one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        ]
        assert len(denied) == 1


def test_every_policy_is_about_pods_that_are_there(found: list[dict]) -> None:
    for policy in of(found, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        if selector:
            assert pods(found, place(policy), selector), policy["metadata"]["name"]


def inside(peer: dict, policy: dict) -> tuple[str, dict] | None:
    """The namespace and selector of a peer that is one of ours; None for what lies elsewhere."""
    if "ipBlock" in peer:
        return None
    given = peer.get("namespaceSelector", {}).get("matchLabels", {})
    namespace = given.get("kubernetes.io/metadata.name", place(policy))
    return (namespace, peer.get("podSelector", {})) if namespace.startswith("thorax-") else None


def test_every_edge_to_one_of_our_pods_has_a_service_behind_it(found: list[dict]) -> None:
    services = [(place(one), one["spec"]) for one in of(found, "Service")]
    for policy, direction, peer, ports in edges(found):
        target = inside(peer, policy)
        if direction != "egress" or target is None or not target[1]:
            continue
        (template,) = pods(found, *target)
        behind = [
            spec
            for namespace, spec in services
            if namespace == target[0] and matches({"matchLabels": spec["selector"]}, labels(template))
        ]
        assert behind, policy["metadata"]["name"]
        reachable = {port["port"] for spec in behind for port in spec["ports"]}
        assert {port["port"] for port in ports} <= reachable | ports_of(template)


def test_every_service_has_an_edge_that_lets_somebody_in(found: list[dict]) -> None:
    policies = of(found, "NetworkPolicy")
    for service in of(found, "Service"):
        (template,) = pods(found, place(service), {"matchLabels": service["spec"]["selector"]})
        let_in = {
            port["port"]
            for policy in policies
            if place(policy) == place(service) and matches(policy["spec"]["podSelector"], labels(template))
            for rule in policy["spec"].get("ingress", [])
            for port in rule.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in let_in, service["metadata"]["name"]


def test_what_goes_out_to_one_of_ours_is_let_in_there(found: list[dict]) -> None:
    for policy, direction, peer, _ in edges(found):
        target = inside(peer, policy)
        if direction != "egress" or target is None or not target[1]:
            continue
        (template,) = pods(found, *target)
        senders = pods(found, place(policy), policy["spec"]["podSelector"])
        for sender in senders:
            assert lets_in(found, target[0], template, place(policy), labels(sender)), policy["metadata"]["name"]


def lets_in(found: list[dict], namespace: str, template: dict, origin: str, sender: dict[str, str]) -> bool:
    for policy in of(found, "NetworkPolicy"):
        if place(policy) != namespace or not matches(policy["spec"]["podSelector"], labels(template)):
            continue
        for rule in policy["spec"].get("ingress", []):
            for peer in rule["from"]:
                given = peer.get("namespaceSelector", {}).get("matchLabels", {})
                there = given.get("kubernetes.io/metadata.name", namespace)
                if there == origin and matches(peer.get("podSelector", {}), sender):
                    return True
    return False


@pytest.mark.parametrize("tampering", ["label", "port", "secret", "edge"])
def test_a_broken_reference_would_be_found(overlay: str, found: list[dict], tampering: str) -> None:
    serving = next(one for one in of(found, "Deployment") if one["metadata"]["name"] == "chest-xray")
    service = next(one for one in of(found, "Service") if one["metadata"]["name"] == "chest-xray")
    broken = {
        "label": lambda: service["spec"]["selector"].update({"app.kubernetes.io/name": "other"}),
        "port": lambda: service["spec"]["ports"][0].update(targetPort="other"),
        "secret": lambda: pod_specs(serving)[0]["volumes"].append({"name": "x", "secret": {"secretName": "other"}}),
        "edge": lambda: found.remove(
            next(one for one in of(found, "NetworkPolicy") if one["metadata"]["name"] == "from-ingress")
        ),
    }
    broken[tampering]()
    checks = {
        "label": lambda: test_every_service_has_pods_and_its_ports_are_theirs(found),
        "port": lambda: test_every_service_has_pods_and_its_ports_are_theirs(found),
        "edge": lambda: test_every_service_has_an_edge_that_lets_somebody_in(found),
        "secret": lambda: test_what_pods_ask_for_is_made_here_or_is_known_to_be_given(overlay, found),
    }
    with pytest.raises((AssertionError, ValueError)):
        checks[tampering]()


def test_the_records_table_is_made_by_the_sql_that_thorax_audit_schema_prints(overlay: str, found: list[dict]) -> None:
    maps = [one["data"] for one in of(found, "ConfigMap") if one["metadata"]["name"] == "postgres-databases"]
    own = [schema(("thorax_audit",))]
    assert [one["audit.sql.once"] for one in maps] == ([] if overlay == "production" else own)
