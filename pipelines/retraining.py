"""New images in, a gated challenger out: the same recipe on the next version of the champion's data."""

from kfp import dsl

from components import images
from components.table import COMPONENTS
from pipelines.resources import declare


@dsl.pipeline(name="retrain")
def retrain(
    base: str,
    source: str,
    recipe: str,
    labels: str = "",
    layout: str = "auto",
    finding: str = "",
    seed: int = 0,
    keep_split: bool = False,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    trigger: str = "drift",
    image: str = images.TRAINER,
    source_version: str = "",
    weights_version: str = "",
    code_version: str = "",
    champion: str = "",
) -> str:
    """Merge new images into the champion's dataset, train its recipe on it, and hold the result against every gate.

    The champion's test part stays, so both are judged by the same patients; some new ones are held back for both.

    Args:
        base: The dataset version that the champion was trained on.
        source: New images, as for `train-classifier`.
        recipe: The champion's.
        labels: The new images' label table (CSV).
        layout: How the new source's files lie; `auto` looks.
        finding: For layouts with findings, the one to tell from the rest.
        seed: Of the champion's split.
        keep_split: Whether the champion's split was the table's own, as a merged version's is.
        overrides: TrainConfig fields to change.
        trigger: Why it is trained: manual, drift or schedule.
        image: What the steps run in; recorded with the model.
        source_version: Fingerprint of the source: a finished step is reused only under the same one.
        weights_version: Fingerprint of the initial weights, likewise.
        code_version: Digest of the code, likewise.
        champion: The champion's version when the run began, likewise.

    Returns:
        The registered version's number.
    """
    step, code = COMPONENTS, {"code_version": code_version}
    ingested = step["ingest-images"](source=base, source_version=source_version, **code)
    old = ingested.outputs["dataset"]
    splitted = step["split-dataset"](dataset=old, seed=seed, keep_split=keep_split, **code)
    found = {"labels": labels, "layout": layout, "finding": finding, "source_version": source_version, **code}
    taken = step["take-new-images"](base=old, source=source, **found)
    both = {"base_split": splitted.outputs["split"], "new": taken.outputs["taken"], "champion": champion}
    merged = step["merge-datasets"](base=old, **both, **code)
    data = {"dataset": merged.outputs["dataset"], "split": merged.outputs["split"]}
    trained = step["train-model"](**data, recipe=recipe, overrides=overrides, weights_version=weights_version, **code)
    calibrated = step["calibrate-model"](**data, model=trained.outputs["model"], **code)
    model = calibrated.outputs["calibrated"]
    evaluated = step["evaluate-model"](**data, model=model, champion=champion, **code)
    compared = step["compare-on-recent"](recent=merged.outputs["recent"], model=model, champion=champion, **code)
    evidence, told = {"evaluation": evaluated.outputs["evaluation"]}, {"trigger": trigger, "image": image}
    packaged = step["package-model"](**data, **evidence, **told, model=model, **code)
    evidence["package"] = packaged.outputs["package"]
    gated = step["check-gates"](**evidence)
    evidence |= {"gates": gated.outputs["gates"], "comparison": compared.outputs["comparison"]}
    registered = step["register-retrained"](**evidence, **told, recipe=recipe, overrides=overrides)
    declare(ingested, splitted, taken, merged, trained, calibrated, evaluated, compared, packaged, gated, registered)
    return registered.output
