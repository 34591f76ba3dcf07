"""The overlays as they are applied, kept as goldens; and what they copy from elsewhere in the project."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from imaging.errors import ConfigurationError, NotFoundError
from tests.infra.test_references import of
from thorax.cli import app
from thorax.cluster.manifests import INFRA, name_images, objects, render

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "infra"
RULES = {"serving": "thorax-serving", "watch": "thorax-platform"}
MONITORING = INFRA / "features" / "monitoring"


def test_an_overlay_renders_to_its_golden_file(overlay: str, rendered: dict[str, str], update_goldens: bool) -> None:
    golden = GOLDENS / f"{overlay}.yaml"
    if update_goldens:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(rendered[overlay])
    assert rendered[overlay] == golden.read_text()


@pytest.mark.parametrize("name", RULES)
def test_the_alerts_of_the_cluster_are_those_of_the_project(name: str, update_goldens: bool) -> None:
    groups = yaml.safe_load((ROOT / "monitoring" / "alerts" / f"{name}.yaml").read_text())["groups"]
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"thorax-{name}", "namespace": RULES[name]},
        "spec": {"groups": groups},
    }
    path = MONITORING / f"prometheusrule-{name}.yaml"
    if update_goldens:
        head = f"# Made of monitoring/alerts/{name}.yaml by `make goldens`.\n"
        path.write_text(head + yaml.safe_dump(made, sort_keys=False, width=200))
    assert yaml.safe_load(path.read_text()) == made


def test_the_dashboard_of_the_cluster_is_that_of_the_project(update_goldens: bool) -> None:
    text = (ROOT / "monitoring" / "dashboards" / "thorax.json").read_text()
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "thorax-dashboard", "namespace": "thorax-platform", "labels": {"grafana_dashboard": "1"}},
        "data": {"thorax.json": text},
    }
    path = MONITORING / "configmap-dashboard.yaml"
    if update_goldens:
        head = (
            "# Made of monitoring/dashboards/thorax.json by `make goldens`; Grafana's sidecar finds it by its label.\n"
        )
        path.write_text(head + yaml.safe_dump(made, sort_keys=False, width=200))
    assert json.loads(yaml.safe_load(path.read_text())["data"]["thorax.json"]) == json.loads(text)


def test_the_command_prints_what_is_applied(rendered: dict[str, str], tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["infra", "render", "local"])
    assert printed.stdout == rendered["local"]
    written = CliRunner().invoke(app, ["infra", "render", "production", "--out", str(tmp_path / "all.yaml")])
    assert "no release yet" in written.stderr
    assert objects((tmp_path / "all.yaml").read_text()) == objects(rendered["production"])


def test_an_overlay_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(NotFoundError, match="local, production, staging"):
        render("elsewhere")


def test_production_differs_from_staging_in_what_it_should(rendered: dict[str, str]) -> None:
    kinds = {name: {one["kind"] for one in objects(text)} for name, text in rendered.items()}
    assert "ScaledObject" in kinds["staging"]
    assert "HorizontalPodAutoscaler" in kinds["production"]
    assert not any(one["metadata"]["name"] == "postgres" for one in of(objects(rendered["production"]), "StatefulSet"))


def test_bootstrap_names_each_step_and_fails_where_there_is_no_cluster(
    rendered: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = CliRunner().invoke(app, ["infra", "bootstrap", "local", "--json"])
    steps = [row["step"] for row in json.loads(result.stdout)]
    assert result.exit_code == 1
    assert steps[:2] == ["a cluster", "ingress"]
    assert steps[-1] == "the platform"


def test_a_release_names_images_by_digest_and_refuses_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "releases" / "staging"
    place.mkdir(parents=True)
    (place / "kustomization.yaml").write_text((INFRA / "releases" / "staging" / "kustomization.yaml").read_text())
    monkeypatch.setattr("thorax.cluster.manifests.INFRA", tmp_path)
    digest = "sha256:" + "a" * 64
    path = name_images("staging", [f"ghcr.io/somebody/registry:1@{digest}"])
    rows = {row["name"]: row for row in yaml.safe_load(path.read_text())["images"]}
    row = rows["ghcr.io/thorax-platform/registry"]
    assert (row["digest"], row["newName"]) == (digest, "ghcr.io/somebody/registry")
    assert path.read_text().startswith("# Which images run here")
    for wrong in ("ghcr.io/somebody/registry:1", f"ghcr.io/somebody/other@{digest}"):
        with pytest.raises(ConfigurationError, match="registry/name@sha256"):
            name_images("staging", [wrong])


def test_the_queue_figure_is_what_the_alerts_tests_would_see(found: list[dict]) -> None:
    recorded = [
        rule["record"]
        for one in of(found, "PrometheusRule")
        for group in one["spec"]["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]
    asked = [
        metric["pods"]["metric"]["name"]
        for one in of(found, "HorizontalPodAutoscaler")
        for metric in one["spec"]["metrics"]
    ]
    asked += [
        trigger["metadata"]["query"] for one in of(found, "ScaledObject") for trigger in one["spec"]["triggers"][:1]
    ]
    assert recorded == [] or all(any(name in query for name in recorded) for query in asked)
