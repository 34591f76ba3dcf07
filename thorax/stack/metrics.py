"""TorchServe's metrics configuration: its own figures, and those of the endpoint."""

from importlib.resources import files
from typing import Any

import yaml

from serving.meter import METRICS


def metrics_yaml() -> str:
    """Return the file that `metrics_config` names: what TorchServe's package has, with ours among the model's."""
    found: dict[str, Any] = yaml.safe_load((files("ts") / "configs" / "metrics.yaml").read_text(encoding="utf-8"))
    ours: dict[str, list[dict[str, Any]]] = found["model_metrics"]
    for metric in METRICS:
        described = {"name": metric.name, "unit": metric.unit, "dimensions": list(metric.dimensions)}
        ours.setdefault(metric.kind, []).append(described)
    return yaml.safe_dump(found, sort_keys=False)
