"""Measure a model and the champion on the newest images, which neither was trained on."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def compare_on_recent(
    recent: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    comparison: dsl.Output[dsl.Artifact],
    resamples: int = 1000,
    champion: str = "",
    code_version: str = "",
) -> str:
    """Evaluate on every recent image, beside the champion: for the person who decides, not for a gate.

    Args:
        recent: New patients held back.
        model: The calibrated model directory.
        comparison: The folder of `evaluation.json` and `evaluation.html`.
        resamples: Bootstrap resamples, by patient.
        champion: As in `evaluate_model`.
        code_version: Digest of the code, likewise.

    Returns:
        The champion's version that it was compared with, or "".
    """
    from pathlib import Path

    from imaging.evaluation import evaluate_external_on_disk
    from imaging.models.directory import load_info
    from imaging.registry import current_champion
    from imaging.settings import Settings

    folders = (Path(model.path), Path(recent.path), Path(comparison.path))
    with current_champion(Settings(), load_info(folders[0]).name) as (version, directory):
        evaluate_external_on_disk(*folders, champion=directory, resamples=resamples)
    return version
