"""The alert rules: each fires when it should and only then, says what to do, and asks for figures that there are."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from imaging.atomic import write_text
from imaging.settings import Settings
from monitoring.exporter import mark, metrics
from serving.meter import METRICS

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "monitoring" / "alerts").glob("*.yaml"))
TESTS = sorted(Path(__file__).with_name("alerts").glob("*_test.yaml"))
ALERTS = [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in ALERTS]
OTHERS = {"up", "GPUMemoryUtilization", "ts_queue_latency_microseconds"}
"""Of Prometheus and of TorchServe themselves."""


def promtool() -> str:
    found = shutil.which("promtool") or shutil.which("promtool", path=str(ROOT / "build" / "tools"))
    if not found:
        pytest.skip("no promtool here: infra/promtool.sh fetches it")
    return found


def test_every_rule_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    for path in (*RULES, *TESTS):
        shutil.copy(path, tmp_path)
    command = [promtool(), "test", "rules", *(path.name for path in TESTS)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested_quiet_and_firing() -> None:
    fired = {
        one["alertname"]
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for one in test["alert_rule_test"]
        if one["exp_alerts"]
    }
    assert fired == set(NAMES)


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_every_rule_says_how_bad_it_is_and_what_to_do(rule: dict) -> None:
    page, _, place = rule["annotations"]["runbook"].partition("#")
    text = (ROOT / page).read_text()
    assert place == rule["alert"].lower()
    section = text.partition(f"### {rule['alert']}\n")[2].partition("\n### ")[0]
    assert len(section) > 60
    assert rule["labels"]["severity"] in ("warning", "critical")


def names_in(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"', "", expression)
    names = re.findall(r"\b(?:thorax_[a-z_]+|up|GPU[A-Za-z]+|ts_[a-z_]+)\b", bare)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def asked_by_dashboards() -> list[str]:
    boards = [json.loads(path.read_text()) for path in (ROOT / "monitoring" / "dashboards").glob("*.json")]
    return [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]


def known(home: Path) -> set[str]:
    exported = re.findall(
        r"^# TYPE (\S+)", metrics(Settings(home=home, edge_certificate=home / "none.pem")), flags=re.MULTILINE
    )
    return {metric.name for metric in METRICS} | set(exported) | OTHERS


def test_rules_and_dashboards_ask_for_figures_that_there_are(full_home: Path) -> None:
    asked = [rule["expr"] for rule in ALERTS] + asked_by_dashboards()
    assert len(asked) > len(ALERTS)
    missing = {name for expression in asked for name in names_in(expression)} - known(full_home)
    assert not missing


def test_dashboards_are_of_the_form_that_grafana_imports() -> None:
    for path in (ROOT / "monitoring" / "dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        assert board["uid"]
        assert board["schemaVersion"] >= 36
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in board["panels"]:
            assert {"title", "type", "gridPos", "datasource"} <= set(panel)
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_what_dashboards_ask_for_is_promql(tmp_path: Path) -> None:
    asked = asked_by_dashboards()
    rules = [{"record": f"asked:{index}", "expr": expression} for index, expression in enumerate(asked)]
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    command = [promtool(), "check", "rules", str(tmp_path / "asked.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def full_home(home: Path) -> Path:
    """A home in which every job has run."""
    for name in ("collected", "uploaded", "verified"):
        mark(home, name, **({"ok": True} if name == "verified" else {}))
    now = datetime.now(UTC)
    drift = {"time": now.isoformat(), "drifted": True, "shifted": ["mean"], "rows": 300, "score": 4.2}
    drift["figures"] = [{"name": "mean", "psi": 0.5}]
    write_text(home / "drift" / "new" / "drift.json", json.dumps(drift))
    old = {**drift, "time": (now - timedelta(days=1)).isoformat(), "drifted": False}
    write_text(home / "drift" / "older" / "drift.json", json.dumps(old))
    figures = {name: {"value": 0.9} for name in ("sensitivity", "specificity", "auroc")}
    own = {**figures, "estimated": {"sensitivity": 0.91, "specificity": None, "auroc": 0.95}}
    performance = {"time": now.isoformat(), "fell": False, "whole": {"labelled": 40, "classes": {"pneumonia": own}}}
    write_text(home / "performance" / "one" / "performance.json", json.dumps(performance))
    return home


def value(text: str, name: str) -> float:
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, flags=re.MULTILINE)[1])


def test_figures_are_those_of_the_newest_look(full_home: Path) -> None:
    text = metrics(Settings(home=full_home))
    assert value(text, "thorax_drift_found") == 1
    assert value(text, 'thorax_drift_psi{figure="mean"}') == 0.5
    assert value(text, 'thorax_performance{class="pneumonia",figure="sensitivity"}') == 0.9
    assert 'thorax_performance_estimated{class="pneumonia",figure="specificity"}' not in text
    assert value(text, "thorax_audit_ok") == 1


def test_a_hold_and_a_waiting_spool_show(full_home: Path) -> None:
    before = metrics(Settings(home=full_home))
    assert (value(before, "thorax_release_on_hold"), value(before, "thorax_spool_oldest_seconds")) == (0, 0)
    write_text(full_home / "release" / "hold.json", "{}")
    write_text(full_home / "predictions" / "spool" / "1-a.jsonl", "{}\n")
    after = metrics(Settings(home=full_home))
    assert value(after, "thorax_release_on_hold") == 1
    assert value(after, "thorax_spool_oldest_seconds") > 0


def test_an_empty_home_has_figures_too(home: Path) -> None:
    text = metrics(Settings(home=home))
    assert value(text, "thorax_labels") == 0
    assert "thorax_drift" not in text


def test_a_certificate_that_cannot_be_read_has_ended(home: Path) -> None:
    text = metrics(Settings(home=home, edge_certificate=home / "none.pem"))
    assert value(text, "thorax_certificate_expiry_timestamp_seconds") == 0
