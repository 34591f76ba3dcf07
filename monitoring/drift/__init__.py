"""Drift: what a window of the prediction log looks like beside the reference that the model carries."""

from monitoring.drift.check import duration, run_drift
from monitoring.drift.findings import DriftResult, Part
from monitoring.drift.report import verdict

__all__ = ["DriftResult", "Part", "duration", "run_drift", "verdict"]
