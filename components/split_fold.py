"""Split a dataset version for one fold of a cross-validation."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def split_fold(
    dataset: dsl.Input[dsl.Dataset],
    split: dsl.Output[dsl.Artifact],
    fold: int,
    folds: int = 5,
    seed: int = 0,
    code_version: str = "",
) -> str:
    """Make one fold's patients the test part and deal the others to train, val and calibration.

    Args:
        dataset: A dataset version.
        split: The parts, as row numbers (JSON).
        fold: Which fold, from 0.
        folds: Of how many.
        seed: Which of the possible folds; the same for all of them.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The split's digest.
    """
    from pathlib import Path

    from imaging.data.splits import split_on_disk

    made = split_on_disk(Path(dataset.path), Path(split.path), seed=seed, fold=fold, folds=folds)
    split.metadata.update(digest=made.digest, fold=fold, **{part: len(rows) for part, rows in made.parts.items()})
    return made.digest
