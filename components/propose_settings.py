"""Spread settings over a search space."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def propose_settings(
    recipe: str,
    space: dict,
    trials: int = 8,
    seed: int = 0,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    metric: str = "",
    code_version: str = "",
) -> list:
    """Check the space against the recipe and propose settings, all at once; a space that cannot be stops the run.

    Args:
        recipe: A name from `imaging.recipes`.
        space: Fields and terms: `{"stages.0.lr": "log(1e-4,1e-1)"}`.
        trials: How many settings; fewer where the space has no more.
        seed: Of the proposals.
        overrides: TrainConfig fields to change in every trial.
        metric: The validation figure that trials are compared by; the recipe's `monitor` where empty.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The settings: for each, fields and their values.
    """
    from imaging.tuning.from_pipeline import propose_settings as proposed

    return proposed(recipe, space, trials=trials, seed=seed, overrides=overrides, metric=metric)
