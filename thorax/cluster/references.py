"""What the pods of a set of objects ask for by name, and what the set makes."""

from collections.abc import Iterator, Sequence
from typing import Any

from thorax.cluster.manifests import containers, pod_specs

Named = tuple[str, str, str]
"""Namespace, kind, name."""


def made(found: Sequence[dict[str, Any]]) -> set[Named]:
    """Return the objects, and the Secrets that operators make of some of them."""
    there = {(_place(one), str(one["kind"]), str(one["metadata"]["name"])) for one in found}
    for one in found:
        if one["kind"] == "Certificate":
            there.add((_place(one), "Secret", one["spec"]["secretName"]))
        if one["kind"] == "ExternalSecret":
            there.add((_place(one), "Secret", one["spec"]["target"]["name"]))
        if one["kind"] == "Ingress" and "cert-manager.io/cluster-issuer" in one["metadata"].get("annotations", {}):
            there |= {(_place(one), "Secret", tls["secretName"]) for tls in one["spec"].get("tls", [])}
    return there


def wanted(found: Sequence[dict[str, Any]]) -> set[Named]:
    """Return the Secrets, ConfigMaps, claims and service accounts that pods name, and Secrets that an Ingress does."""
    asked: set[Named] = set()
    for one in found:
        place = _place(one)
        for spec in pod_specs(one):
            asked |= {(place, kind, name) for kind, name in _of_pod(spec)}
        for key, value in one["metadata"].get("annotations", {}).items():
            if key.endswith(("auth-tls-secret", "proxy-ssl-secret")):
                namespace, _, name = value.partition("/")
                asked.add((namespace, "Secret", name))
    return asked


VOLUMES = {
    "secret": ("Secret", "secretName"),
    "configMap": ("ConfigMap", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
SOURCES = {
    "configMapRef": "ConfigMap",
    "secretRef": "Secret",
    "configMapKeyRef": "ConfigMap",
    "secretKeyRef": "Secret",
}


def _of_pod(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec.get("volumes", []):
        yield from ((kind, volume[key][name]) for key, (kind, name) in VOLUMES.items() if key in volume)
    for box in containers(spec):
        variables = [variable.get("valueFrom", {}) for variable in box.get("env", [])]
        for source in (*box.get("envFrom", []), *variables):
            yield from ((kind, source[key]["name"]) for key, kind in SOURCES.items() if key in source)


def _place(one: dict[str, Any]) -> str:
    return str(one["metadata"].get("namespace", ""))
