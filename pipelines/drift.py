"""The prediction log in, a drift report out."""

from kfp import dsl

from components.table import COMPONENTS
from pipelines.resources import declare


@dsl.pipeline(name="watch-drift")  # not the step's name: KFP takes a pipeline of one step of its own name for the step
def watch_drift(bucket: str = "predictions", window: str = "", version: str = "", reports: str = "") -> str:
    """Check whether the serving model's images and scores still look like those it was measured on.

    Args:
        bucket: The prediction log's bucket.
        window: How far back, as 7d; the plan's where empty.
        version: Of the registry; the champion where empty.
        reports: The bucket that keeps reports; then MLflow gets one too, beside the version.

    Returns:
        drifted, shifted, same, or too_few.
    """
    checked = COMPONENTS["check-drift"](bucket=bucket, window=window, version=version, reports=reports)
    declare(checked)
    return checked.outputs["Output"]
