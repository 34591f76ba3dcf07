"""See that a dataset version can be folded, and number the folds."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def plan_folds(dataset: dsl.Input[dsl.Dataset], folds: int = 5, seed: int = 0, code_version: str = "") -> list:
    """Make every fold once, so that too many folds are an error before anything trains.

    Args:
        dataset: A dataset version.
        folds: How many.
        seed: Which of the possible folds.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The folds' numbers, from 0.
    """
    from pathlib import Path

    from imaging.data.dataset import load_dataset
    from imaging.data.splits import k_fold_splits

    return list(range(len(k_fold_splits(load_dataset(Path(dataset.path)), folds=folds, seed=seed))))
