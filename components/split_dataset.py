"""Split a dataset version by patient."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def split_dataset(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Output[dsl.Artifact],
    seed: int = 0,
    keep_split: bool = False,
    code_version: str = "",
) -> str:
    """Deal the patients to train, val, calibration and test, stratified by class.

    Args:
        dataset: A dataset version.
        split: The parts, as row numbers (JSON).
        seed: Which of the possible splits.
        keep_split: Keep the label table's own split where it has one.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The split's digest.
    """
    from pathlib import Path

    from imaging.data.splits import split_on_disk

    made = split_on_disk(Path(dataset.path), Path(split.path), seed=seed, keep_hints=keep_split)
    split.metadata.update(digest=made.digest, **{part: len(rows) for part, rows in made.parts.items()})
    return made.digest
