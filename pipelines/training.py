"""Radiographs in, a gated and registered challenger out."""

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
    """Train a chest X-ray classifier, hold it against every gate and register it as challenger.

    Args:
        source: A folder or an `s3://` address of DICOM, PNG or JPEG files, or a dataset version.
        recipe: A name from `imaging.recipes`.
        labels: A label table (CSV); without one, class folders label the files.
        name: What the dataset's name starts with.
        size: Side of the packed square images, in pixels.
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
    ingested = step["ingest-images"](
        source=source, labels=labels, name=name, size=size, source_version=source_version, **code
    )
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
    for task in (ingested, splitted, trained, calibrated, evaluated, packaged, gated, registered):
        declare(task)
    return registered.output
