"""Train a recipe with one setting of a search."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def try_settings(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    trial: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    recipe: str,
    fields: dict,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    metric: str = "",
    weights_version: str = "",
    code_version: str = "",
) -> str:
    """Train on the training part and measure on the validation part; the test part is not read, no model is kept.

    Args:
        dataset: A dataset version.
        split: Its parts.
        trial: How it went (JSON).
        metrics: The compared figure.
        recipe: A name from `imaging.recipes`.
        fields: The setting: TrainConfig fields and their values.
        overrides: TrainConfig fields to change in every trial.
        metric: The validation figure that trials are compared by; the recipe's `monitor` where empty.
        weights_version: Fingerprint of the initial weights, which decides whether a finished step may be reused.
        code_version: Digest of the code, likewise.

    Returns:
        How it ended: complete or failed; a training that diverges fails its trial only.
    """
    from pathlib import Path

    from imaging.settings import Settings
    from imaging.tuning.from_pipeline import try_on_disk

    files = (Path(dataset.path), Path(split.path), Path(trial.path))
    ended = try_on_disk(recipe, *files, fields=fields, overrides=overrides, metric=metric, settings=Settings())
    trial.metadata.update(state=ended.state)
    if ended.value is not None:
        metrics.log_metric("value", ended.value)
    return ended.state
