"""Register a packaged model that passed its gates."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def register_model(
    package: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    gates: dsl.Input[dsl.Artifact],
    recipe: str,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    trigger: str = "manual",
    image: str = "",
) -> str:
    """Register `package` as a version of its registered model and make it the challenger; a retry does nothing twice.

    Args:
        package: The final model directory.
        evaluation: What `evaluate_model` wrote.
        gates: What `check_gates` wrote.
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
    digest = package.metadata["digest"]
    return register(*folders, recipe, overrides, trigger=trigger, image=image, digest=digest)
