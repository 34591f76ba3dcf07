"""Train one recipe on one dataset version, on several nodes of a cluster."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def train_distributed(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    recipe: str,
    machine: dict,
    nodes: int = 2,
    processes: int = 1,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    weights_version: str = "",
    code_version: str = "",
) -> float:
    """Train `recipe` as a TrainJob and keep the best epoch; a killed training goes on where it was.

    Args:
        dataset: A dataset version.
        split: Its parts.
        model: The model directory, uncalibrated, with its curves.
        metrics: The kept epoch's loss (nats per image), AUROC and accuracy (0-1), on the val part.
        recipe: A name from `imaging.recipes`.
        machine: What a process gets of its node, and the volume that all share: `pipelines.resources.machine`.
        nodes: How many.
        processes: On each node; one a GPU.
        overrides: TrainConfig fields to change; the floors and the name cannot be.
        weights_version: Fingerprint of the initial weights, which decides whether a finished step may be reused.
        code_version: Digest of the code, likewise.

    Returns:
        The kept epoch's macro AUROC on the val part (0-1).
    """
    from pathlib import Path

    from components import images
    from components.cluster_training import Nodes, train_on_cluster
    from imaging.recipes import changed_recipe
    from imaging.settings import Settings

    config, parts, folder = changed_recipe(recipe, overrides), (Path(dataset.path), Path(split.path)), Path(model.path)
    where = Nodes(count=nodes, processes=processes, image=images.TRAINER, **machine)
    best = train_on_cluster(config, *parts, folder, nodes=where, settings=Settings())
    model.metadata.update(recipe=recipe, architecture=config.architecture, epoch=best.epoch, stage=best.stage)
    metrics.log_metric("val_loss", best.val_loss)
    metrics.log_metric("val_macro_auroc", best.val_macro_auroc)
    metrics.log_metric("val_accuracy", best.val_accuracy)
    return best.val_macro_auroc
