"""Register a retrained model that passed its gates, with what it does on the newest images."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def register_retrained(
    package: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    gates: dsl.Input[dsl.Artifact],
    comparison: dsl.Input[dsl.Artifact],
    recipe: str,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    trigger: str = "drift",
    image: str = "",
) -> str:
    """Register `package` as `register_model` does, and put the comparison on recent images beside its evaluation.

    Args:
        package: The final model directory.
        evaluation: What `evaluate_model` wrote.
        gates: What `check_gates` wrote.
        comparison: What `compare_on_recent` wrote.
        recipe: A name from `imaging.recipes`.
        overrides: The TrainConfig fields that were changed.
        trigger: Why it was trained: manual, drift or schedule.
        image: The container image it was trained in.

    Returns:
        The version's number.
    """
    from pathlib import Path

    from components.registration import register

    folders = (Path(package.path), Path(evaluation.path), Path(gates.path))
    recent, digest = Path(comparison.path), package.metadata["digest"]
    return register(*folders, recipe, overrides, trigger=trigger, image=image, digest=digest, recent=recent)
