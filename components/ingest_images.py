"""Turn images and their labels into a dataset version."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def ingest_images(
    dataset: dsl.Output[dsl.Dataset],
    source: str,
    labels: str = "",
    name: str = "dataset",
    size: int = 224,
    subject: str = "radiograph",
    layout: str = "auto",
    grey: bool = False,
    finding: str = "",
    source_version: str = "",
    code_version: str = "",
) -> str:
    """Ingest `source`, or take it as it is where it is a dataset version already, and hand the version on.

    Args:
        dataset: The dataset version: packed images, tables, manifest.
        source: A folder, a zip file or an `s3://` address of DICOM, PNG, JPEG or a benchmark's own files.
        labels: A label table (CSV), also by its name inside `source`; without one, class folders label the files.
        name: What the dataset's name starts with; it ends in its digest.
        size: Side of the packed square images, in pixels; 0 leaves it to the layout.
        subject: What the images show, radiograph or picture.
        layout: How the source's files lie: a name of `imaging.data.layouts.LAYOUTS`, or `auto`.
        grey: Make colour pictures grey.
        finding: For layouts with findings, the one to tell from the rest.
        source_version: Fingerprint of `source`, which decides whether a finished step may be reused.
        code_version: Digest of the code, likewise.

    Returns:
        The dataset's digest.
    """
    from pathlib import Path

    from audit import record
    from components.dataset_versions import Reading, provide_dataset
    from imaging.settings import Settings

    how = Reading(labels=labels, name=name, size=size, subject=subject, layout=layout, grey=grey, finding=finding)
    made = provide_dataset(source, Path(dataset.path), how, settings=Settings())
    counts = made.manifest["counts"]
    dataset.metadata.update(name=made.manifest["name"], digest=made.digest)
    record("dataset.created", subject=made.digest, details={"name": made.manifest["name"], "counts": counts})
    return made.digest
