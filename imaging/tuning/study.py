"""The memory of a search: Optuna's study in one SQLite file, which only the search's own process writes.

A search that goes on after a kill proposes what it would have proposed: the sampler's seed is drawn from the search's
and the trial's number, so nothing but the trials themselves has to be kept.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from imaging.errors import ConfigurationError
from imaging.tuning.results import Trial
from imaging.tuning.space import Space
from imaging.tuning.trial import Outcome, State, is_lower_better

if TYPE_CHECKING:
    import optuna

Pruner = Literal["median", "hyperband", "none"]
STARTUP_TRIALS = 5
"""Completed trials before the first is pruned, and random ones before the sampler goes by what it saw."""
_STATES: dict[str, State] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "WAITING": "waiting",
    "RUNNING": "running",
}


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the study in `folder` for this process; the lock goes with the process, however it ends.

    Raises:
        ConfigurationError: if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"the search {folder.name} is running already; wait for it, or search with another --seed"
            ) from error
        yield
    finally:
        os.close(lock)


class Memory:
    """The trials of one search, across processes and kills.

    Args:
        folder: The study's own; its name is the study's.
        space: What is searched.
        metric: What trials are compared by.
        seed: Of the proposals.
        pruner: Which one cuts trials short.
        epochs: The most that a trial can have.
    """

    def __init__(self, folder: Path, space: Space, *, metric: str, seed: int, pruner: Pruner, epochs: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._seed = space, seed
        self._distributions = {name: dimension.distribution() for name, dimension in space.items()}
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder.resolve() / 'study.db'}")
        self._study = optuna.create_study(
            study_name=folder.name,
            storage=storage,
            direction="minimize" if is_lower_better(metric) else "maximize",
            load_if_exists=True,
            pruner=_pruner(pruner, epochs),
        )
        self._asked: dict[int, optuna.Trial] = {}
        self._deliver_what_a_kill_left()

    def propose(self) -> Trial:
        """Begin the next trial: one that was cut off where there is one, else what the sampler proposes."""
        import optuna

        digest = hashlib.sha256(f"{self._seed}/{self.started()}".encode()).digest()
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int.from_bytes(digest[:4], "big"), n_startup_trials=STARTUP_TRIALS, constant_liar=True
        )
        asked = self._study.ask(self._distributions)
        self._asked[asked.number] = asked
        return self._trial(self._study.get_trials(deepcopy=False)[asked.number])

    def started(self) -> int:
        """Return how many settings were proposed; one that was cut off and tried again counts once."""
        return sum("retry_of" not in frozen.user_attrs for frozen in self._study.get_trials(deepcopy=False))

    def has_cut_off(self) -> bool:
        """Say whether a trial that was cut off waits to go on."""
        return any(frozen.state.name == "WAITING" for frozen in self._study.get_trials(deepcopy=False))

    def note_epoch(self, number: int, epoch: int, value: float) -> bool:
        """Take a trial's figure after an epoch in; answer whether the trial is worth going on with."""
        trial, known = self._asked[number], self._study.get_trials(deepcopy=False)[number].intermediate_values
        if epoch not in known:  # an epoch trained again after a kill was told before
            trial.report(value, epoch)
        return not trial.should_prune()

    def end(self, number: int, outcome: Outcome) -> None:
        """Keep how a trial ended."""
        from optuna.trial import TrialState

        trial = self._asked.pop(number)
        for key in ("epochs", "seconds", "error", "best_epoch"):
            trial.set_user_attr(key, outcome.model_dump(mode="json")[key])
        trial.set_user_attr("best", outcome.value)
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        value = outcome.value if outcome.state == "complete" else None
        self._study.tell(trial, value, state=states[outcome.state])

    def put_back(self, number: int, error: str) -> None:
        """Keep a trial that was interrupted as failed, and let another go on where it was."""
        self._asked.pop(number, None)
        self._fail(number, error, again=True)

    def trials(self) -> tuple[Trial, ...]:
        """Return every trial so far."""
        return tuple(self._trial(frozen) for frozen in self._study.get_trials(deepcopy=False))

    def remember(self, key: str, value: Any) -> None:
        """Keep something about the search as a whole."""
        self._study.set_user_attr(key, value)

    def recall(self, key: str) -> Any:
        """Return what was kept, None where nothing was."""
        return self._study.user_attrs.get(key)

    def _deliver_what_a_kill_left(self) -> None:
        """End trials whose search was killed; each is tried once more."""
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.state.name == "RUNNING":
                first = frozen.user_attrs.get("after_a_kill") is None
                self._fail(frozen.number, "[interrupted] the search was killed here", again=first, killed=True)

    def _fail(self, number: int, error: str, *, again: bool, killed: bool = False) -> None:
        import optuna
        from optuna.trial import TrialState

        frozen = self._study.get_trials(deepcopy=False)[number]
        self._study._storage.set_trial_user_attr(frozen._trial_id, "error", error)  # of a trial nobody holds any more
        self._study.tell(number, state=TrialState.FAIL)
        if not again:
            return
        note = {"retry_of": number} | ({"after_a_kill": True} if killed else {})
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                system_attrs={"fixed_params": dict(frozen.params)},
                user_attrs=note,
                intermediate_values=dict(frozen.intermediate_values),
            )
        )

    def _trial(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        kept = frozen.params or frozen.system_attrs.get("fixed_params", {})
        attributes = frozen.user_attrs
        return Trial(
            number=frozen.number,
            state=_STATES[frozen.state.name],
            value=attributes.get("best"),
            fields={name: self._space[name].value(value) for name, value in kept.items()},
            epochs=tuple(attributes.get("epochs", ())),
            best_epoch=attributes.get("best_epoch"),
            seconds=attributes.get("seconds", 0.0),
            error=attributes.get("error", ""),
            retry_of=attributes.get("retry_of"),
        )


def _pruner(name: Pruner, epochs: int) -> "optuna.pruners.BasePruner":
    import optuna

    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(2, epochs))
    return optuna.pruners.NopPruner()
