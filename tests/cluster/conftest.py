"""A real cluster, given by KUBECONFIG; one that holds no Thorax yet, since these tests take away what they make."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from thorax.cluster.manifests import kubectl, objects, render

LONGEST_S = 120


class Api:
    """What kubectl does, as the user of KUBECONFIG."""

    def run(self, *words: str, given: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        command = [kubectl(), f"--request-timeout={LONGEST_S}s", *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=2 * LONGEST_S, check=False)
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done

    def get(self, *words: str) -> list[dict[str, Any]]:
        found = json.loads(self.run("get", *words, "-o", "json").stdout)
        return list(found["items"]) if "items" in found else [found]

    def apply(self, found: list[dict[str, Any]], *options: str) -> "subprocess.CompletedProcess[str]":
        """Apply objects as a person would; a warning of the server counts as a refusal."""
        done = self.run("apply", "--server-side", *options, "-f", "-", given=yaml.safe_dump_all(found))
        assert "Warning" not in done.stderr, done.stderr
        return done

    def known(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out what the cluster has no operator for; `thorax infra bootstrap` names those."""
        served = set()
        for line in self.run("api-resources", "--no-headers").stdout.splitlines():
            *_, version, _, kind = line.split()  # the preferred version; others of the group are taken too
            served.add((version.rpartition("/")[0], kind))
        return [one for one in found if (one["apiVersion"].rpartition("/")[0], one["kind"]) in served]


@pytest.fixture(scope="session")
def api() -> Iterator[Api]:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no cluster: KUBECONFIG names none")
    found = Api()
    names = [one["metadata"]["name"] for one in objects(render("local")) if one["kind"] == "Namespace"]
    there = {one["metadata"]["name"] for one in found.get("namespaces")}
    if there & set(names):
        pytest.fail("this cluster has Thorax in it; these tests take away what they make: give one without")
    try:
        yield found
    finally:
        made = [one for name in ("local", "staging", "production") for one in objects(render(name))]
        away = [one for one in found.known(made) if "namespace" not in one["metadata"]]
        found.run("delete", "--ignore-not-found", "--wait=false", "-f", "-", given=yaml.safe_dump_all(away))


@pytest.fixture(scope="session")
def namespaces(api: Api) -> list[str]:
    """The platform's namespaces, made for real: a dry run makes none, and what lies in one needs it."""
    made = [one for one in objects(render("local")) if one["kind"] == "Namespace"]
    api.apply(made)
    return [one["metadata"]["name"] for one in made]
