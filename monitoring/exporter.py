"""What the watch knows, as Prometheus reads it: `home/monitoring/metrics.prom`, written after each look.

A file, since what it tells comes from jobs that end: the edge shows it at `/metrics`, and node_exporter's textfile
collector can take it. What a server measures while it answers is at TorchServe's own metrics address.
"""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from audit.feedback import FeedbackStore
from imaging.atomic import write_text
from imaging.settings import Settings

FOLDER, FILE = "monitoring", "metrics.prom"
SEVERITIES = ("no_harm", "near_miss", "harm")


def mark(home: Path, name: str, **told: Any) -> None:
    """Remember that something was done just now, and how it ended."""
    write_text(home / FOLDER / f"{name}.json", json.dumps({"time": time.time(), **told}) + "\n")


def write_metrics(settings: Settings) -> Path:
    """Write all figures; return the file."""
    path = settings.home / FOLDER / FILE
    write_text(path, metrics(settings))
    return path


def metrics(settings: Settings) -> str:
    """Return all figures of a home in Prometheus' text form."""
    registry = CollectorRegistry()
    home = settings.home
    _marks(registry, home)
    _drift(registry, _latest(home / "drift", "drift.json"))
    _performance(registry, _latest(home / "performance", "performance.json"))
    _set(registry, "thorax_spool_oldest_seconds", "age of the oldest row that was not collected", _oldest(home))
    _set(registry, "thorax_release_on_hold", "1 while every answer is referred", float(_is_held(home)))
    _set(registry, "thorax_labels", "labels that people gave", float(len(FeedbackStore.of(home).rows("feedback"))))
    _adverse(registry, home)
    expiry = _expiry(settings.edge_certificate)
    if expiry is not None:
        _set(registry, "thorax_certificate_expiry_timestamp_seconds", "when the edge's certificate ends", expiry)
    return generate_latest(registry).decode()


def _set(registry: CollectorRegistry, name: str, about: str, value: float) -> None:
    Gauge(name, about, registry=registry).set(value)


def _marks(registry: CollectorRegistry, home: Path) -> None:
    told = {
        "collected": ("thorax_log_collected_timestamp_seconds", "when the prediction log was last collected"),
        "uploaded": ("thorax_log_uploaded_timestamp_seconds", "when the bucket last had the whole prediction log"),
        "verified": ("thorax_audit_verified_timestamp_seconds", "when the audit record was last verified"),
    }
    for name, (metric, about) in told.items():
        found = _read(home / FOLDER / f"{name}.json")
        if "time" in found:
            _set(registry, metric, about, float(found["time"]))
        if name == "verified" and "ok" in found:
            _set(registry, "thorax_audit_ok", "1 while the audit record holds", float(bool(found["ok"])))


def _drift(registry: CollectorRegistry, found: Mapping[str, Any]) -> None:
    if not found:
        return
    _set(registry, "thorax_drift_check_timestamp_seconds", "when drift was last looked for", _seconds(found["time"]))
    _set(registry, "thorax_drift_found", "1 where the last look found drift", float(bool(found["drifted"])))
    _set(registry, "thorax_drift_shifts", "figures beyond chance", float(len(found.get("shifted", ()))))
    _set(registry, "thorax_drift_images", "different images of the last window", float(found["rows"]))
    if found.get("score") is not None:
        _set(registry, "thorax_drift_score", "combined score, about standard normal without drift", found["score"])
    psi = Gauge("thorax_drift_psi", "population stability index", ["figure"], registry=registry)
    for figure in found.get("figures", ()):
        psi.labels(figure["name"]).set(figure["psi"])


def _performance(registry: CollectorRegistry, found: Mapping[str, Any]) -> None:
    if not found:
        return
    about = "when labels were last compared with answers"
    _set(registry, "thorax_performance_check_timestamp_seconds", about, _seconds(found["time"]))
    _set(registry, "thorax_performance_fell", "1 where labels say that it got worse", float(bool(found["fell"])))
    _set(registry, "thorax_labelled_images", "images of the last span with a label", float(found["whole"]["labelled"]))
    value = Gauge("thorax_performance", "by labels", ["class", "figure"], registry=registry)
    estimate = Gauge("thorax_performance_estimated", "without labels", ["class", "figure"], registry=registry)
    for name, one in found["whole"]["classes"].items():
        for figure in ("sensitivity", "specificity", "auroc"):
            if one[figure]["value"] is not None:
                value.labels(name, figure).set(one[figure]["value"])
            if one["estimated"][figure] is not None:
                estimate.labels(name, figure).set(one["estimated"][figure])


def _adverse(registry: CollectorRegistry, home: Path) -> None:
    reported = Gauge("thorax_adverse_reports", "adverse results that were reported", ["severity"], registry=registry)
    rows = FeedbackStore.of(home).rows("adverse")
    for severity in SEVERITIES:
        reported.labels(severity).set(sum(row.content.get("severity") == severity for row in rows))


def _latest(folder: Path, name: str) -> dict[str, Any]:
    """Return the newest report of a folder by its own time; nothing where there is none."""
    found = [_read(path) for path in folder.glob(f"*/{name}")]
    return max((one for one in found if "time" in one), key=lambda one: str(one["time"]), default={})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _oldest(home: Path) -> float:
    """Return for how many seconds a row may have waited in the spool: since the last collection, if any came after."""
    taken = float(_read(home / FOLDER / "collected.json").get("time", 0.0))
    written = [path.stat().st_mtime for path in (home / "predictions" / "spool").glob("*.jsonl")]
    waiting = [moment for moment in written if moment > taken]
    return max(time.time() - (taken or min(waiting)), 0.0) if waiting else 0.0


def _is_held(home: Path) -> bool:
    return (home / "release" / "hold.json").exists()


def _expiry(certificate: Path | None) -> float | None:
    """Return when a PEM certificate ends, in seconds of the epoch; 0 where it cannot be read."""
    if not certificate:
        return None
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(Path(certificate).read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return 0.0


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
