"""Images in, a gated and registered challenger out."""

from kfp import dsl

from components import images
from components.table import COMPONENTS
from pipelines.resources import declare


@dsl.pipeline(name="train-classifier")
def train_classifier(
    source: str,
    recipe: str,
    labels: str = "",
    name: str = "dataset",
    size: int = 224,
    subject: str = "radiograph",
    layout: str = "auto",
    grey: bool = False,
    finding: str = "",
    seed: int = 0,
    keep_split: bool = False,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    trigger: str = "manual",
    image: str = images.TRAINER,
    source_version: str = "",
    weights_version: str = "",
    code_version: str = "",
    champion: str = "",
) -> str:
    """Train an image classifier, hold it against every gate and register it as challenger.

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
        seed: Of the split.
        keep_split: Keep the label table's own split where it has one.
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
    read_as = {"labels": labels, "size": size, "subject": subject, "layout": layout, "grey": grey, "finding": finding}
    ingested = step["ingest-images"](source=source, name=name, **read_as, source_version=source_version, **code)
    data = {"dataset": ingested.outputs["dataset"]}
    splitted = step["split-dataset"](**data, seed=seed, keep_split=keep_split, **code)
    data["split"] = splitted.outputs["split"]
    trained = step["train-model"](**data, recipe=recipe, overrides=overrides, weights_version=weights_version, **code)
    calibrated = step["calibrate-model"](**data, model=trained.outputs["model"], **code)
    model = calibrated.outputs["calibrated"]
    evaluated = step["evaluate-model"](**data, model=model, champion=champion, **code)
    evidence = {"evaluation": evaluated.outputs["evaluation"]}
    packaged = step["package-model"](**data, **evidence, model=model, trigger=trigger, image=image, **code)
    evidence["package"] = packaged.outputs["package"]
    gated = step["check-gates"](**evidence)
    registered = step["register-model"](
        **evidence, gates=gated.outputs["gates"], recipe=recipe, overrides=overrides, trigger=trigger, image=image
    )
    declare(ingested, splitted, trained, calibrated, evaluated, packaged, gated, registered)
    return registered.output
