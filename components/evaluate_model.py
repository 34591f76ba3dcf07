"""Measure a model on images and patients it never saw."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def evaluate_model(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    resamples: int = 1000,
    champion: str = "",
    code_version: str = "",
) -> str:
    """Evaluate on the test part, beside the champion of the same registered model where there is one.

    Args:
        dataset: A dataset version.
        split: Its parts.
        model: The calibrated model directory.
        evaluation: The folder of `evaluation.json`, `evaluation.html` and predictions.
        resamples: Bootstrap resamples, by patient.
        champion: The champion's version when the run began, which decides whether a finished step may be
            reused. Whom to compare with is asked of the registry, not taken from here, and must still be this one
            (a cluster's is unseen where a run is submitted: `unseen-…`; registration checks it).
        code_version: Digest of the code, likewise.

    Returns:
        The champion's version that it was compared with, or ""; a change since the run began is an error.
    """
    from pathlib import Path

    from imaging.errors import ConfigurationError
    from imaging.evaluation import evaluate_on_disk
    from imaging.models.directory import load_info
    from imaging.registry import current_champion
    from imaging.settings import Settings

    folders = (Path(model.path), Path(dataset.path), Path(split.path), Path(evaluation.path))
    with current_champion(Settings(), load_info(folders[0]).name) as (version, directory):
        if champion and not champion.startswith("unseen-") and champion != version:
            raise ConfigurationError(f"the champion was {champion} at the start, is {version or 'none'} now: run again")
        evaluate_on_disk(*folders, champion=directory, resamples=resamples)
    evaluation.metadata["champion"] = version
    return version
