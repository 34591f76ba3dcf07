"""Choose the best setting of a search by the validation part."""

from typing import List  # noqa: UP035  KFP 2.17 knows lists of artifacts by this name

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def choose_settings(
    trials: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    search: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    recipe: str,
    space: dict,
    seed: int = 0,
    overrides: dict = {},  # noqa: B006  KFP reads the default; nothing mutates it
    metric: str = "",
    code_version: str = "",
) -> dict:
    """Put the trials together and choose the best completed one.

    Args:
        trials: What `try-settings` wrote.
        search: The folder of `trials.json`, `search.png` and `best.json`.
        metrics: The best trial's figure and number.
        recipe: A name from `imaging.recipes`.
        space: Fields and terms that were searched.
        seed: Of the proposals.
        overrides: TrainConfig fields that every trial had changed.
        metric: The validation figure that trials are compared by; the recipe's `monitor` where empty.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        All that the best trial had changed of the recipe: the `overrides` of a training with its settings.
    """
    from pathlib import Path

    from imaging.tuning.from_pipeline import choose_on_disk

    files, what = [Path(trial.path) for trial in trials], {"space": space, "overrides": overrides}
    found = choose_on_disk(files, Path(search.path), recipe=recipe, metric=metric, seed=seed, **what)
    search.metadata.update(metric=found.metric, trials=len(found.trials), set=found.set_line)
    if found.best is not None:
        metrics.log_metric(found.metric, found.best.value)
        metrics.log_metric("trial", found.best.number)
    return found.best_overrides
