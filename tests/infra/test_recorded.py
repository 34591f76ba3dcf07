"""The series that the pods are scaled by, computed by Prometheus' own promtool from TorchServe's counters."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.infra.test_references import of
from tests.monitoring.test_alerts import promtool
from thorax.cluster.manifests import objects

SERIES = "torchserve_queue_milliseconds"


def recorded(found: list[dict]) -> dict:
    (rule,) = [one for one in of(found, "PrometheusRule") if one["metadata"]["name"] == "chest-xray-recorded"]
    return rule["spec"]


def counter(name: str, pod: str, step: int) -> dict[str, str]:
    labels = f'namespace="thorax-serving", pod="{pod}"'
    return {"series": f"{name}{{{labels}}}", "values": f"0+{step}x40"}


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_a_pods_queue_is_its_mean_wait_in_milliseconds_and_nothing_while_idle(
    rendered: dict[str, str], overlay: str, tmp_path: Path
) -> None:
    """Every 15 s the busy pod takes 30 requests that waited 50 ms each; the idle one takes none."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(recorded(objects(rendered[overlay]))))
    pods = {"busy": (30 * 50_000, 30), "idle": (0, 0)}
    series = [
        counter(name, pod, steps[place])
        for pod, steps in pods.items()
        for place, name in enumerate(("ts_queue_latency_microseconds", "ts_inference_requests_total"))
    ]
    wanted = [
        {"labels": f'{SERIES}{{namespace="thorax-serving", pod="{pod}"}}', "value": value}
        for pod, value in (("busy", 50), ("idle", 0))
    ]
    asked = [{"expr": SERIES, "eval_time": "5m", "exp_samples": wanted}]
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": asked}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    command = [promtool(), "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pods_are_scaled_by_that_series(found: list[dict], overlay: str) -> None:
    (scaler,) = of(found, "HorizontalPodAutoscaler", "ScaledObject")
    assert SERIES in json.dumps(scaler["spec"])
