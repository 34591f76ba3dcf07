"""The search on one machine: propose, train in worker processes, prune, and go on where a kill left it.

What is kept lies in `home/tuning/<study>`: `study.db`, the trials' checkpoints while they run, `workers.log`,
`trials.json` after every trial, and `search.png` at the end. The same command goes on with the same study: its name
is drawn from the recipe and its changes, the dataset, the split, the space, the metric, the pruner and the seed.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging.data.dataset import load_dataset
from imaging.data.splits import Split
from imaging.errors import ConfigurationError, DataError
from imaging.recipes import changed_recipe
from imaging.settings import Settings
from imaging.tuning.results import SearchResult, Trial, importances
from imaging.tuning.space import Space, check_space, combined, described
from imaging.tuning.study import Memory, Pruner, only_one
from imaging.tuning.trial import Outcome, best_of
from imaging.tuning.workers import STOP_S, WorkerProcess, Workers

logger = logging.getLogger(__name__)

FAILURES = 3
"""So many failed trials without one that ended well, and the search stops: something else is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is searched, and how."""

    recipe: str
    dataset: Path
    split: Path
    space: Space
    metric: str = ""
    """The recipe's `monitor` where empty."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    pruner: Pruner = "median"
    seed: int = 0
    trials: int = 20
    """Settings to try in all, over every run of the search."""
    parallel: int = 1
    timeout_s: float = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What happened: a trial began, an epoch of it was measured, it ended."""

    trial: Trial
    epoch: Mapping[str, Any] | None = None


def search(
    plan: Plan,
    *,
    settings: Settings,
    on_news: Callable[[News], None] | None = None,
    on_trial: Callable[[SearchResult], None] | None = None,
) -> SearchResult:
    """Search until as many trials as planned are over, or the time is.

    Args:
        plan: What to search; checked before anything starts.
        settings: The home, and where weights come from.
        on_news: Told of every trial and epoch.
        on_trial: Given the search as it stands after every trial.

    Returns:
        The search as it stands, also in `trials.json`.

    Raises:
        ConfigurationError: for a plan that cannot be, or one that another process carries out now.
        DataError: what no setting would mend.
        KeyboardInterrupt: on Ctrl-C, when running trials have been stopped; the same call goes on with them.
    """
    result = describe(plan)
    folder = settings.home.resolve() / "tuning" / result.study
    config = changed_recipe(plan.recipe, plan.overrides)
    epochs = sum(stage.epochs for stage in config.stages)
    with only_one(folder):
        memory = Memory(folder, plan.space, metric=result.metric, seed=plan.seed, pruner=plan.pruner, epochs=epochs)

        def ended(news: News) -> None:
            if on_news is not None:
                on_news(news)
            if news.epoch is None and news.trial.state != "running":
                now = result.model_copy(update={"trials": memory.trials()})
                now.write_trials(folder)
                if on_trial is not None:
                    on_trial(now)

        try:
            _Search(plan, folder, memory, result, ended).run()
        finally:
            trials = memory.trials()
            found = result.model_copy(update={"trials": trials, "importances": importances(trials, plan.space)})
            found.write(folder)
        return found


def describe(plan: Plan) -> SearchResult:
    """Check a plan and return its search as it is before the first trial.

    Raises:
        ConfigurationError, DataError, NotFoundError: for a plan that cannot be.
    """
    config = changed_recipe(plan.recipe, plan.overrides)
    metric = plan.metric or config.monitor
    check_space(plan.recipe, plan.space, overrides=plan.overrides, metric=metric)
    for name, number in (("trials", plan.trials), ("parallel", plan.parallel), ("timeout", plan.timeout_s)):
        if not number > 0:
            raise ConfigurationError(f"expected a number above 0 for {name}, got {number}")
    dataset, split = load_dataset(plan.dataset), Split.load(plan.split)
    if split.dataset_digest != dataset.digest:
        raise DataError(f"the split was made for dataset {split.dataset_digest}, not for {dataset.digest}; split again")
    found = SearchResult(
        study="",
        recipe=plan.recipe,
        overrides=dict(plan.overrides),
        space=described(plan.space),
        metric=metric,
        dataset=dataset.digest,
        split=split.digest,
        seed=plan.seed,
    )
    how = {**found.model_dump(mode="json"), "config": config.digest, "pruner": plan.pruner}
    name = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:10]
    return found.model_copy(update={"study": f"{plan.recipe}-{name}"})


class _Search:
    def __init__(
        self, plan: Plan, folder: Path, memory: Memory, result: SearchResult, on_news: Callable[[News], None]
    ) -> None:
        self._plan, self._folder, self._memory, self._metric = plan, folder, memory, result.metric
        self._tell = on_news
        self._running: dict[int, Trial] = {}
        self._epochs: dict[int, list[dict[str, Any]]] = {}
        self._deadline = time.monotonic() + plan.timeout_s

    def run(self) -> None:
        """Keep the workers busy until nothing is left to try."""
        plan = self._plan
        given = {"dataset": str(plan.dataset.resolve()), "split": str(plan.split.resolve()), "metric": self._metric}
        log, count = self._folder / "workers.log", min(plan.parallel, plan.trials)
        with Workers(count, given=given, log=log) as workers:
            try:
                while self._order(workers) or self._running:
                    for worker, news in workers.hear(timeout_s=min(1.0, max(0.0, self._deadline - time.monotonic()))):
                        self._take(worker, news)
                    if self._is_over():
                        self._stop(workers)
            except KeyboardInterrupt:
                self._stop(workers)
                raise

    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    def _has_more(self) -> bool:
        return self._memory.has_cut_off() or self._memory.started() < self._plan.trials

    def _order(self, workers: Workers) -> bool:
        """Give free workers a trial each; say whether there may be more to order."""
        if self._is_over() or not self._has_more():
            return False
        for worker in workers.free():
            if worker.is_ready and self._has_more():
                self._begin(worker)
            elif not self._has_more():
                break
        return True

    def _begin(self, worker: WorkerProcess) -> None:
        trial = self._memory.propose()
        config = changed_recipe(self._plan.recipe, combined(self._plan.overrides, trial.fields))
        worker.trial, self._running[trial.number], self._epochs[trial.number] = trial.number, trial, []
        work = self._folder / "work" / config.digest.removeprefix("sha256:")[:16]
        worker.order({"config": config.model_dump(mode="json"), "work": str(work)})
        self._tell(News(trial=trial))

    def _take(self, worker: WorkerProcess, news: dict[str, Any]) -> None:
        """Act on what a worker says."""
        number = worker.trial
        if "ready" in news:
            worker.is_ready = True
        elif number is None:
            if "gone" in news:
                raise ConfigurationError(f"a worker could not start; see {self._folder / 'workers.log'}")
        elif "epoch" in news:
            epoch = news["epoch"]
            self._epochs[number].append(epoch)
            self._tell(News(trial=self._running[number], epoch=epoch))
            worker.order({"go": self._memory.note_epoch(number, epoch["epoch"], epoch[self._metric])})
        elif "end" in news:
            self._end(worker, Outcome.model_validate(news["end"]))
        elif "interrupted" in news:
            worker.trial = None
            self._put_back(number, "[interrupted] the search was stopped here")
        elif "broken" in news:
            code, message = news["broken"]["code"], news["broken"]["message"]
            self._end(worker, Outcome(state="failed", error=f"[{code}] {message}"))
            raise DataError(message)
        else:
            why = f"[worker_died] its process ended with status {news['gone']}; was there enough memory?"
            self._end(worker, Outcome(state="failed", error=why))

    def _end(self, worker: WorkerProcess, outcome: Outcome) -> None:
        number = int(worker.trial or 0)
        worker.trial = None
        values = [epoch[self._metric] for epoch in self._epochs.pop(number)]
        if outcome.state == "pruned" and outcome.value is None:
            outcome = outcome.model_copy(update={"value": best_of(values, self._metric)})
        self._memory.end(number, outcome)
        self._tell(News(trial=self._running.pop(number).model_copy(update=_shown(outcome))))
        self._give_up_where_nothing_works()

    def _give_up_where_nothing_works(self) -> None:
        ended = [trial for trial in self._memory.trials() if trial.state in {"complete", "pruned", "failed"}]
        own = [trial for trial in ended if not trial.error.startswith("[interrupted]")]
        if len(own) >= FAILURES and all(trial.state == "failed" for trial in own):
            raise ConfigurationError(f"the first {len(own)} trials failed, the last with {own[-1].error}")

    def _put_back(self, number: int, error: str) -> None:
        self._memory.put_back(number, error)
        trial = self._running.pop(number)
        self._tell(News(trial=trial.model_copy(update={"state": "failed", "error": error})))

    def _stop(self, workers: Workers) -> None:
        """Interrupt what is running; each trial waits, with its checkpoint, for the search to go on."""
        for worker in workers.busy():
            worker.interrupt()
        until = time.monotonic() + STOP_S
        while workers.busy() and time.monotonic() < until:
            for worker, news in workers.hear(timeout_s=0.5):
                if worker.trial is not None and "epoch" not in news:  # told again when the trial goes on
                    self._take(worker, news)
        for number in list(self._running):
            self._put_back(number, "[interrupted] the search was stopped here")


def _shown(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in ("state", "value", "best_epoch", "epochs", "seconds", "error")}
