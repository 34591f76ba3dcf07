"""Turn new images and their labels into a dataset version that fits another, by the plan's data rules."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def take_new_images(
    base: dsl.Input[dsl.Dataset],
    taken: dsl.Output[dsl.Dataset],
    source: str,
    labels: str = "",
    layout: str = "auto",
    finding: str = "",
    source_version: str = "",
    code_version: str = "",
) -> str:
    """Ingest what the change control plan lets a retraining learn from; a refusal is recorded with its clause.

    Args:
        base: The dataset version that the new images are to be merged with: their size and colours are its.
        taken: The dataset version of the new images.
        source: As in `ingest_images`.
        labels: A label table (CSV), with `labelled_by` and `label_status` where known.
        layout: As in `ingest_images`.
        finding: As in `ingest_images`.
        source_version: Fingerprint of `source`, which decides whether a finished step may be reused.
        code_version: Digest of the code, likewise.

    Returns:
        The dataset's digest.
    """
    from pathlib import Path

    from components.new_images import take

    made = take(source, Path(base.path), Path(taken.path), labels=labels, layout=layout, finding=finding)
    taken.metadata.update(name=made.manifest["name"], digest=made.digest)
    return made.digest
