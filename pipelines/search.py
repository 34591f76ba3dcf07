"""Many settings of a recipe side by side, compared on the validation part. Nothing is registered."""

from kfp import dsl

from components.table import COMPONENTS
from pipelines.resources import declare

AT_ONCE = 4
"""Settings that a cluster trains side by side; one machine trains two."""


@dsl.pipeline(name="search-hyperparameters")
def search_hyperparameters(
    source: str,
    recipe: str,
    space: dict,
    labels: str = "",
    name: str = "dataset",
    size: int = 224,
    subject: str = "radiograph",
    layout: str = "auto",
    grey: bool = False,
    finding: str = "",
    trials: int = 8,
    metric: str = "",
    seed: int = 0,
    keep_split: bool = False,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    source_version: str = "",
    weights_version: str = "",
    code_version: str = "",
) -> dict:
    """Try settings spread over a space and choose the best by the validation part; the test part stays unseen.

    Args:
        source: A folder, a zip file or an `s3://` address of images, or a dataset version.
        recipe: A name from `imaging.recipes`.
        space: Fields and terms: `{"stages.0.lr": "log(1e-4,1e-1)", "batch_size": "choice(16,32)"}`.
        labels: A label table (CSV); without one, the layout says how files are labelled, as by class folders.
        name: What the dataset's name starts with.
        size: Side of the packed square images, in pixels; 0 leaves it to the layout.
        subject: What the images show, radiograph or picture, as the recipe does.
        layout: How the source's files lie; `auto` looks.
        grey: Make colour pictures grey.
        finding: For layouts with findings, the one to tell from the rest.
        trials: How many settings.
        metric: The validation figure that they are compared by; the recipe's `monitor` where empty.
        seed: Of the split and of the proposals.
        keep_split: Keep the label table's own split where it has one.
        overrides: TrainConfig fields to change in every trial.
        source_version: Fingerprint of the source: a finished step is reused only under the same one.
        weights_version: Fingerprint of the initial weights, likewise.
        code_version: Digest of the code, likewise.

    Returns:
        The `overrides` of a training with the best settings.
    """
    step, code = COMPONENTS, {"code_version": code_version}
    what = {"recipe": recipe, "overrides": overrides, "metric": metric}
    proposed = step["propose-settings"](**what, space=space, trials=trials, seed=seed, **code)
    read_as = {"labels": labels, "size": size, "subject": subject, "layout": layout, "grey": grey, "finding": finding}
    ingested = step["ingest-images"](source=source, name=name, **read_as, source_version=source_version, **code).after(
        proposed
    )
    data = {"dataset": ingested.outputs["dataset"]}
    splitted = step["split-dataset"](**data, seed=seed, keep_split=keep_split, **code)
    data["split"] = splitted.outputs["split"]
    with dsl.ParallelFor(items=proposed.output, parallelism=AT_ONCE) as setting:
        tried = step["try-settings"](**data, **what, fields=setting, weights_version=weights_version, **code)
    collected = dsl.Collected(tried.outputs["trial"])
    chosen = step["choose-settings"](**what, trials=collected, space=space, seed=seed, **code)
    declare(proposed, ingested, splitted, tried, chosen)
    return chosen.outputs["Output"]
