"""Put a model and all that it must carry into its final directory."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def package_model(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    package: dsl.Output[dsl.Model],
    trigger: str = "manual",
    image: str = "",
    code_version: str = "",
) -> str:
    """Package a calibrated model: weights, description, drift reference, evaluation, model card; sign it.

    Args:
        dataset: A dataset version.
        split: Its parts.
        model: The calibrated model directory.
        evaluation: What `evaluate_model` wrote.
        package: The final model directory.
        trigger: Why it was trained: manual, drift or schedule.
        image: The container image it was trained in.
        code_version: Digest of the code; goes into the package too.

    Returns:
        The package's digest.
    """
    from pathlib import Path

    from components.signing import sign
    from imaging.packaging import package_on_disk

    folders = (Path(model.path), Path(evaluation.path), Path(dataset.path), Path(split.path), Path(package.path))
    digest = package_on_disk(*folders, extra={"trigger": trigger, "image": image, "code": code_version})
    package.metadata.update(model.metadata)
    package.metadata["digest"] = digest
    package.metadata["signed_by"] = sign(Path(package.path))
    return digest
