"""Merge new images into the champion's dataset version, with its test part locked."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def merge_datasets(
    base: dsl.Input[dsl.Dataset],
    base_split: dsl.Input[dsl.Artifact],
    new: dsl.Input[dsl.Dataset],
    dataset: dsl.Output[dsl.Dataset],
    split: dsl.Output[dsl.Artifact],
    recent: dsl.Output[dsl.Dataset],
    champion: str = "",
    code_version: str = "",
) -> str:
    """Write the next dataset version, its split, and the recent images that are only measured on.

    Args:
        base: The dataset version that the champion was trained on.
        base_split: Its split; it must be the champion's own.
        new: The new images.
        dataset: The next version; its manifest names what it came from.
        split: Its parts; the test part is the base's.
        recent: New patients held back.
        champion: The champion's version when the run began, which decides whether a finished step may be reused.
        code_version: Digest of the code, likewise.

    Returns:
        The next version's digest.
    """
    from pathlib import Path

    from components.merged_data import merge

    folders = (Path(base.path), Path(base_split.path), Path(new.path))
    made = merge(*folders, Path(dataset.path), Path(split.path), Path(recent.path))
    dataset.metadata.update(name=made.dataset.manifest["name"], digest=made.dataset.digest)
    split.metadata.update(digest=made.split.digest, **{part: len(rows) for part, rows in made.split.parts.items()})
    recent.metadata.update(digest=made.recent.digest)
    return made.dataset.digest
