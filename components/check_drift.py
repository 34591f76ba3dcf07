"""Compare what the serving model was asked with what it was measured on, from the prediction log in its bucket."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def check_drift(
    report: dsl.Output[dsl.Artifact], bucket: str, window: str = "", version: str = "", reports: str = ""
) -> str:
    """Fetch the window's log and the version's package, check drift by the plan, and record the outcome.

    Never reused from an earlier run: the log grows.

    Args:
        report: The folder of drift.html, drift.json and Evidently's report.
        bucket: The prediction log's bucket.
        window: How far back, as 7d; the plan's where empty.
        version: Of the registry; the champion where empty.
        reports: The bucket that keeps reports; then MLflow gets one too, beside the version.

    Returns:
        drifted, shifted, same, or too_few.
    """
    from pathlib import Path

    from components.drift_report import check_version

    found = check_version(Path(report.path), bucket=bucket, window=window, version=version, reports=reports)
    report.metadata.update(outcome=found.outcome, images=found.images, version=found.version, kept=found.kept)
    return found.outcome
