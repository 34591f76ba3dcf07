"""Every object is what each supported version of Kubernetes takes, field by field; and what its CRD takes."""

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from thorax.cluster.manifests import objects

VERSIONS = ["1.30.0", "1.31.0", "1.32.0", "1.33.0", "1.34.0", kubernetes_validate.latest_version()]
CRDS = Path(os.environ.get("THORAX_DATA", "../shared/data")) / "crds"
BUILT_IN = {"v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1"}


class PlainLoader(yaml.CSafeLoader):
    """YAML 1.1 has a tag for a lone `=`, which PyYAML does not construct; in a CRD it is an operator's name."""


PlainLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))
UNKNOWN_HERE = {"ExternalSecret"}
"""Kinds whose CRD nobody gave us to hold them against."""


def is_built_in(one: dict) -> bool:
    version = one["apiVersion"]
    return version in BUILT_IN or (version.partition("/")[0].endswith(".k8s.io") and "x-k8s" not in version)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object_without_a_warning(rendered: dict[str, str], version: str) -> None:
    everything = [one for text in rendered.values() for one in objects(text) if is_built_in(one)]
    different = {json.dumps(one, sort_keys=True): one for one in everything}
    assert len(different) > 80
    for one in different.values():
        kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found(rendered: dict[str, str]) -> None:
    service = next(one for one in objects(rendered["local"]) if one["kind"] == "Service")
    service["spec"]["port"] = 80
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, VERSIONS[0], strict=True)


@pytest.fixture(scope="session")
def crds() -> dict[tuple[str, str], Any]:
    """Schemas by apiVersion and kind, closed: what a CRD does not name is an error."""
    if not CRDS.is_dir():
        pytest.skip(f"no CRDs at {CRDS}: what operators take is not looked at (set THORAX_DATA)")
    schemas = {}
    for path in CRDS.rglob("*.yaml"):
        for one in yaml.load_all(path.read_text(), PlainLoader):
            if not one or one.get("kind") != "CustomResourceDefinition":
                continue
            for version in one["spec"]["versions"]:
                name = f"{one['spec']['group']}/{version['name']}"
                schemas[name, one["spec"]["names"]["kind"]] = closed(version["schema"]["openAPIV3Schema"])
    return schemas


def closed(schema: Any) -> Any:
    """Return the schema with unknown fields refused, where it does not say that it takes them."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items() if key != "format"}
    if isinstance(schema.get("pattern"), str):  # Go takes flags anywhere
        made["pattern"] = ("(?i)" if "(?i)" in schema["pattern"] else "") + schema["pattern"].replace("(?i)", "")
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    takes_more = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not takes_more:
        made["additionalProperties"] = False
    return made


@functools.cache
def custom_kinds() -> set[str]:
    return {"Certificate", "ClusterIssuer", "ScaledObject", "PodMonitor", "PrometheusRule", "ResourceFlavor"} | {
        "ClusterQueue",
        "LocalQueue",
        "TrainingRuntime",
    }


def custom(found: list[dict]) -> Iterator[dict]:
    return (one for one in found if not is_built_in(one) and one["kind"] not in UNKNOWN_HERE)


def test_operators_take_every_object_of_theirs(found: list[dict], crds: dict) -> None:
    seen = set()
    for one in custom(found):
        schema = crds[one["apiVersion"], one["kind"]]
        body = {key: value for key, value in one.items() if key not in {"apiVersion", "kind", "metadata"}}
        properties = {key: value for key, value in schema["properties"].items() if key in body or key == "spec"}
        jsonschema.validate(body, {"type": "object", "properties": properties, "additionalProperties": False})
        seen.add(one["kind"])
    assert seen <= custom_kinds()
    assert "Certificate" in seen


def test_an_unknown_field_of_a_custom_resource_would_be_found(crds: dict) -> None:
    schema = crds["keda.sh/v1alpha1", "ScaledObject"]["properties"]["spec"]
    good = {"scaleTargetRef": {"name": "x"}, "triggers": [{"type": "cpu", "metadata": {}}]}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "minReplicas": 2}, schema)
