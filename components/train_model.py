"""Train one recipe on one dataset version."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def train_model(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    recipe: str,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    weights_version: str = "",
    code_version: str = "",
) -> float:
    """Train `recipe` and keep the best epoch; a killed training goes on where it was.

    Args:
        dataset: A dataset version.
        split: Its parts.
        model: The model directory, uncalibrated, with its curves.
        metrics: The kept epoch's loss (nats per image), AUROC and accuracy (0-1), on the val part.
        recipe: A name from `imaging.recipes`.
        overrides: TrainConfig fields to change; the floors and the name cannot be.
        weights_version: Fingerprint of the initial weights, which decides whether a finished step may be reused.
        code_version: Digest of the code, likewise.

    Returns:
        The kept epoch's macro AUROC on the val part (0-1).
    """
    import logging
    from pathlib import Path

    from imaging.recipes import changed_recipe
    from imaging.settings import Settings
    from imaging.training import train_on_disk

    config, folder = changed_recipe(recipe, overrides), Path(model.path)
    say = lambda e: logging.info("epoch %d (%s): val_loss %.3f", e.epoch, e.stage, e.val_loss)  # noqa: E731
    best = train_on_disk(config, Path(dataset.path), Path(split.path), folder, settings=Settings(), on_epoch=say)
    model.metadata.update(recipe=recipe, architecture=config.architecture, epoch=best.epoch, stage=best.stage)
    metrics.log_metric("val_loss", best.val_loss)
    metrics.log_metric("val_macro_auroc", best.val_macro_auroc)
    metrics.log_metric("val_accuracy", best.val_accuracy)
    return best.val_macro_auroc
