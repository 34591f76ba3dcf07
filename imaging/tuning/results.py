"""What a search found, as one value that is also `trials.json`: every trial, the best, and how to train it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from imaging import atomic
from imaging.config import Frozen
from imaging.errors import ConfigurationError
from imaging.tuning.picture import draw_search
from imaging.tuning.space import combined
from imaging.tuning.trial import Outcome, is_lower_better

TRIALS = "trials.json"
PICTURE = "search.png"


class Trial(Outcome):
    """One trial of a search; `fields` are what was tried."""

    number: int
    retry_of: int | None = None
    """The trial that was cut off by a kill or an interruption, and that this one goes on with."""


class SearchResult(Frozen):
    """A search, finished or not."""

    study: str
    recipe: str
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields that every trial had changed."""
    space: dict[str, str]
    metric: str
    dataset: str
    """Digest."""
    split: str
    """Digest."""
    seed: int = 0
    trials: tuple[Trial, ...] = ()
    importances: dict[str, float] = Field(default_factory=dict)
    """Of each searched field, summing to 1; empty where too few trials ended to tell."""

    @property
    def best(self) -> Trial | None:
        """The completed trial with the best figure, the earliest of equals."""
        ended = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        sign = 1 if is_lower_better(self.metric) else -1
        return min(ended, key=lambda trial: sign * float(trial.value or 0.0), default=None)

    @property
    def best_overrides(self) -> dict[str, Any]:
        """Everything that the best trial had changed of the recipe."""
        return combined(self.overrides, self.best.fields if self.best else {})

    @property
    def set_line(self) -> str:
        """The best trial as `--set` options of a shell command."""
        return " ".join(f"--set {shlex.quote(f'{key}={_text(value)}')}" for key, value in self.best_overrides.items())

    def count(self, state: str) -> int:
        """Return how many trials are in `state`."""
        return sum(trial.state == state for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as in `trials.json`."""
        best = self.best
        summary = {
            "number": best.number if best else None,
            "value": best.value if best else None,
            "fields": best.fields if best else {},
            "overrides": self.best_overrides if best else {},
            "set": self.set_line if best else "",
        }
        return {**self.model_dump(mode="json"), "best": summary}

    def write_trials(self, out: Path) -> None:
        """Write `trials.json` into `out`."""
        atomic.write_text(out / TRIALS, json.dumps(self.to_json(), indent=1) + "\n")

    def write(self, out: Path) -> None:
        """Write `trials.json` and `search.png` into `out`."""
        self.write_trials(out)
        rows = [trial.model_dump() for trial in self.trials]
        atomic.write_bytes(
            out / PICTURE, draw_search(rows, self.space, metric=self.metric, importances=self.importances)
        )


def require_best(result: SearchResult) -> Trial:
    """Return the best trial.

    Raises:
        ConfigurationError: if no trial was completed; the message has the last failure's reason.
    """
    if result.best is None:
        errors = [trial.error for trial in result.trials if trial.error]
        why = f"; the last failed with {errors[-1]}" if errors else ""
        raise ConfigurationError(f"expected a completed trial, got none of {len(result.trials)}{why}")
    return result.best


def importances(trials: Sequence[Trial], space: Mapping[str, Any], *, seed: int = 0) -> dict[str, float]:
    """Return how much of the figure's variance over completed trials each field explains (Hutter et al. 2014, fANOVA).

    Empty where fewer than four trials were completed, or all had one figure.
    """
    import warnings

    import optuna

    done = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for trial in done:
        kept = {name: _kept(dimension, trial.fields[name]) for name, dimension in space.items()}
        distributions = {name: dimension.distribution() for name, dimension in space.items()}
        study.add_trial(optuna.create_trial(params=kept, distributions=distributions, value=trial.value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(float(found.get(name, 0.0)), 4) for name in space}


def _kept(dimension: Any, value: Any) -> Any:
    from imaging.tuning.space import Choice

    return json.dumps(value, sort_keys=True) if isinstance(dimension, Choice) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
