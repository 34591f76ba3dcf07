"""A drift check away from the machine that serves: the log from its bucket, the package from the registry."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audit import record
from imaging.errors import NotFoundError
from imaging.registry import Registry
from imaging.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What a check found."""

    outcome: str
    """drifted, shifted, same, or too_few."""
    images: int
    version: str
    kept: str = ""
    """Where the report's copy is."""


def check_version(out: Path, *, bucket: str, window: str, version: str, reports: str = "") -> Checked:
    """Check drift of a version's answers, write the report to `out` and record the outcome.

    Args:
        out: The report's folder.
        bucket: The prediction log's.
        window: How far back; the plan's where empty.
        version: Of the registry; the champion where empty.
        reports: The bucket that keeps reports; then MLflow gets one too, beside the version.

    Raises:
        NotFoundError: no such version, or no champion.
        ServiceError: the registry or the bucket does not answer.
    """
    from monitoring.change_control import installed_plan
    from monitoring.download import download
    from monitoring.drift import duration, run_drift

    settings, trigger = Settings(), installed_plan().triggers["drift"]
    registry = Registry.from_settings(settings)
    info = registry.get(version) if version else registry.by_alias("champion")
    if info is None:
        raise NotFoundError("there is no champion whose answers could be checked; name a version")
    since = datetime.now(UTC) - duration(window or trigger.window)
    with tempfile.TemporaryDirectory(prefix="thorax-drift-") as scratch:
        home = Path(scratch)
        download(bucket, home / "predictions" / "parquet", settings, since=since)
        result = run_drift(
            settings.model_copy(update={"home": home}),
            window=window or None,
            package=registry.download(info.version, home / "package"),
            out=out,
            trigger=trigger,
            model_digest=info.tags["package.digest"],
        )
    outcome = _outcome(enough=result.enough, drifted=result.drifted, shifted=bool(result.shifted))
    details = {"outcome": outcome, "rows": result.rows, "refused": result.refused, "above": list(result.above)}
    record("run.finished", subject=f"drift-check/chest-xray/{info.version}", details=details)
    kept = _keep(out, info.version, reports, settings) if reports else ""
    return Checked(outcome=outcome, images=result.rows, version=info.version, kept=kept)


def _keep(out: Path, version: str, reports: str, settings: Settings) -> str:
    """Copy the report to its bucket, and to MLflow; the check stands whether or not they take it."""
    from monitoring.publishing import to_bucket, to_registry

    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = to_bucket(out, reports, f"drift/{version}/{moment}", settings)
    to_registry(out, version, f"drift/{moment}", settings)
    return kept


def _outcome(*, enough: bool, drifted: bool, shifted: bool) -> str:
    if not enough:
        return "too_few"
    return "drifted" if drifted else "shifted" if shifted else "same"
