"""What the steps of the search pipeline call: check and propose, try one setting, choose the best."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imaging import atomic
from imaging.config import Frozen
from imaging.data.dataset import load_dataset
from imaging.data.splits import Split
from imaging.recipes import changed_recipe
from imaging.settings import Settings
from imaging.tuning.proposals import propose
from imaging.tuning.results import SearchResult, Trial, importances, require_best
from imaging.tuning.space import check_space, combined, described, parse_fields
from imaging.tuning.trial import Outcome, run_trial


class TrialFile(Frozen):
    """One trial as a step leaves it for the next."""

    dataset: str
    """Digest."""
    split: str
    """Digest."""
    outcome: Outcome


def propose_settings(
    recipe: str, space: Mapping[str, Any], *, trials: int, seed: int, overrides: Mapping[str, Any], metric: str
) -> list[dict[str, Any]]:
    """Check the space and return the settings to try.

    Raises:
        ConfigurationError: for a space that the recipe cannot be trained in.
        NotFoundError: for an unknown recipe.
    """
    parsed = parse_fields(space)
    check_space(recipe, parsed, overrides=overrides, metric=metric or changed_recipe(recipe, overrides).monitor)
    return propose(parsed, trials=trials, seed=seed)


def try_on_disk(
    recipe: str,
    dataset: Path,
    split: Path,
    out: Path,
    *,
    fields: Mapping[str, Any],
    overrides: Mapping[str, Any],
    metric: str,
    settings: Settings,
) -> Outcome:
    """Train one setting and write how it went to `out`; a training that diverges is a failed trial, no error.

    Raises:
        DataError: what no setting would mend.
    """
    config = changed_recipe(recipe, combined(overrides, fields))
    digests = {"dataset": load_dataset(dataset).digest, "split": Split.load(split).digest}
    name = config.digest.removeprefix("sha256:")[:16] + "-" + digests["split"].removeprefix("sha256:")[:16]
    work = settings.home.resolve() / "tuning" / "work" / name
    outcome = run_trial(config, dataset, split, work, metric=metric or config.monitor, settings=settings)
    kept = outcome.model_copy(update={"fields": dict(fields)})
    atomic.write_text(out, TrialFile(outcome=kept, **digests).model_dump_json(indent=1) + "\n")
    return kept


def choose_on_disk(
    files: Sequence[Path],
    out: Path,
    *,
    recipe: str,
    space: Mapping[str, Any],
    overrides: Mapping[str, Any],
    metric: str,
    seed: int,
) -> SearchResult:
    """Put the trials together, write `trials.json`, `search.png` and `best.json`, and return the whole.

    Raises:
        ConfigurationError: if no trial was completed.
    """
    read = [TrialFile.model_validate_json(file.read_text()) for file in files]
    trials = tuple(Trial(number=number, **one.outcome.model_dump()) for number, one in enumerate(read))
    parsed = parse_fields(space)
    result = SearchResult(
        study="search-hyperparameters",
        recipe=recipe,
        overrides=dict(overrides),
        space=described(parsed),
        metric=metric or changed_recipe(recipe, overrides).monitor,
        dataset=read[0].dataset,
        split=read[0].split,
        seed=seed,
        trials=trials,
        importances=importances(trials, parsed),
    )
    require_best(result)
    with atomic.new_directory(out) as folder:
        result.write(folder)
        atomic.write_text(folder / "best.json", json.dumps(result.best_overrides, indent=1) + "\n")
    return result
