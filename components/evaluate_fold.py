"""Measure one fold's model on the fold's patients."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def evaluate_fold(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    resamples: int = 1000,
    code_version: str = "",
) -> float:
    """Evaluate on the test part; no champion is asked, for it may have been trained on these patients.

    Args:
        dataset: A dataset version.
        split: The fold's parts.
        model: The fold's calibrated model directory.
        evaluation: The folder of `evaluation.json`, `evaluation.html` and predictions.
        resamples: Bootstrap resamples, by patient.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The fold's macro AUROC (0-1).
    """
    from pathlib import Path

    from imaging.evaluation import evaluate_on_disk

    folders = (Path(model.path), Path(dataset.path), Path(split.path), Path(evaluation.path))
    area = evaluate_on_disk(*folders, resamples=resamples).overall.macro_auroc.value
    return float("nan") if area is None else area
