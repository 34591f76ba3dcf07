"""A recipe over k folds of patients: how good it is on all of a dataset. Nothing is registered."""

from kfp import dsl

from components.table import COMPONENTS
from pipelines.resources import declare

AT_ONCE = 3
"""Folds that a cluster trains side by side; one machine trains two."""


@dsl.pipeline(name="cross-validate")
def cross_validate(
    source: str,
    recipe: str,
    labels: str = "",
    name: str = "dataset",
    size: int = 224,
    subject: str = "radiograph",
    layout: str = "auto",
    grey: bool = False,
    finding: str = "",
    folds: int = 5,
    seed: int = 0,
    resamples: int = 1000,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    source_version: str = "",
    weights_version: str = "",
    code_version: str = "",
) -> float:
    """Train and evaluate a recipe on k folds of the patients and summarise them.

    Args:
        source: A folder, a zip file or an `s3://` address of images, or a dataset version.
        recipe: A name from `imaging.recipes`.
        labels: A label table (CSV); without one, the layout says how files are labelled, as by class folders.
        name: What the dataset's name starts with.
        size: Side of the packed square images, in pixels; 0 leaves it to the layout.
        subject: What the images show, radiograph or picture, as the recipe does.
        layout: How the source's files lie; `auto` looks.
        grey: Make colour pictures grey.
        finding: For layouts with findings, the one to tell from the rest.
        folds: How many; every patient is tested in one.
        seed: Of the folds.
        resamples: Bootstrap resamples, by patient.
        overrides: TrainConfig fields to change.
        source_version: Fingerprint of the source: a finished step is reused only under the same one.
        weights_version: Fingerprint of the initial weights, likewise.
        code_version: Digest of the code, likewise.

    Returns:
        The pooled macro AUROC (0-1).
    """
    step, code = COMPONENTS, {"code_version": code_version}
    read_as = {"labels": labels, "size": size, "subject": subject, "layout": layout, "grey": grey, "finding": finding}
    ingested = step["ingest-images"](source=source, name=name, **read_as, source_version=source_version, **code)
    data = {"dataset": ingested.outputs["dataset"]}
    planned = step["plan-folds"](**data, folds=folds, seed=seed, **code)
    with dsl.ParallelFor(items=planned.output, parallelism=AT_ONCE) as fold:
        splitted = step["split-fold"](**data, fold=fold, folds=folds, seed=seed, **code)
        parts = {**data, "split": splitted.outputs["split"]}
        trained = step["train-model"](
            **parts, recipe=recipe, overrides=overrides, weights_version=weights_version, **code
        )
        calibrated = step["calibrate-model"](**parts, model=trained.outputs["model"], **code)
        model = calibrated.outputs["calibrated"]
        evaluated = step["evaluate-fold"](**parts, model=model, resamples=resamples, **code)
    collected = dsl.Collected(evaluated.outputs["evaluation"])
    summarised = step["summarise-folds"](evaluations=collected, resamples=resamples, **code)
    declare(ingested, planned, splitted, trained, calibrated, evaluated, summarised)
    return summarised.outputs["Output"]
