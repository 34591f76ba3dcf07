"""Choose how a model's logits become probabilities, and from which of them a class is called."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def calibrate_model(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    calibrated: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    code_version: str = "",
) -> float:
    """Calibrate on the calibration part; the test part stays unseen.

    Args:
        dataset: A dataset version.
        split: Its parts.
        model: The trained model directory.
        calibrated: A copy of it with its calibration and operating points.
        metrics: The temperature, and the calibration part's log-likelihood loss before and after.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The temperature; 1 where the logits are left as they are, or scaled class by class.
    """
    from pathlib import Path

    from imaging.evaluation import calibrate_on_disk

    folders = (Path(model.path), Path(dataset.path), Path(split.path), Path(calibrated.path))
    calibration = calibrate_on_disk(*folders)
    calibrated.metadata.update(model.metadata)
    metrics.log_metric("temperature", calibration.temperature)
    metrics.log_metric("nll_before", calibration.nll_before)
    metrics.log_metric("nll_after", calibration.nll_after)
    return calibration.temperature
