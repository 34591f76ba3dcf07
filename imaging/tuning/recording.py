"""A search as MLflow runs: one for the search, and inside it one for each trial, with every epoch's figures."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging.errors import ThoraxError
from imaging.registry.session import signed_in
from imaging.settings import Settings
from imaging.tuning.results import PICTURE, TRIALS, SearchResult, Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

EXPERIMENT = "search-hyperparameters"
_ENDED = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_NO_FIGURE = {"epoch", "stage_index", "stage"}


class SearchRun:
    """The MLflow runs of one search, found again by the study's name; nothing where no registry is set.

    What MLflow does not take is told in the log and tried again at the next call: a search does not end for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parent = ""
        self._known: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether there is a registry to record in."""
        return bool(self._settings.mlflow_uri)

    def update(self, result: SearchResult, *, files: Path | None = None) -> bool:
        """Record the trials that ended since the last call; say whether that worked.

        Args:
            result: The search as it stands.
            files: The folder of `trials.json` and `search.png`, to keep with the run of a search that is over.
        """
        if not self.is_on:
            return False
        try:
            with signed_in(self._settings) as client:
                experiment = _experiment(client)
                self._find(client, experiment, result)
                for trial in result.trials:
                    if trial.state in _ENDED and str(trial.number) not in self._known:
                        self._record(client, experiment, trial, result.metric)
                _summarise(client, self._parent, result, files=files)
        except ThoraxError as error:
            logger.warning("the search %s is not recorded in MLflow now: [%s] %s", result.study, error.code, error)
            return False
        return True

    def _find(self, client: "MlflowClient", experiment: str, result: SearchResult) -> None:
        """Find the search's run and those of its trials, or begin it."""
        if self._parent:
            return
        question = f"tags.study = '{result.study}' and tags.kind = 'search'"
        found = client.search_runs([experiment], filter_string=question, max_results=1)
        if found:
            self._parent = found[0].info.run_id
            client.update_run(self._parent, status="RUNNING")
            inside = client.search_runs(
                [experiment], filter_string=f"tags.`mlflow.parentRunId` = '{self._parent}'", max_results=1000
            )
            self._known = {run.data.tags["trial"] for run in inside if run.info.status != "RUNNING"}
            return
        tags = {"study": result.study, "kind": "search", "recipe": result.recipe, "dataset.digest": result.dataset}
        run = client.create_run(experiment, tags=tags, run_name=result.study)
        self._parent = run.info.run_id
        fields = {f"space.{name}": term for name, term in result.space.items()}
        _log_params(client, self._parent, {**fields, "metric": result.metric, "seed": result.seed})

    def _record(self, client: "MlflowClient", experiment: str, trial: Trial, metric: str) -> None:
        from mlflow.entities import Metric

        tags = {"mlflow.parentRunId": self._parent, "trial": str(trial.number), "state": trial.state}
        if trial.error:
            tags["error"] = trial.error
        if trial.retry_of is not None:
            tags["retry_of"] = str(trial.retry_of)
        run = client.create_run(experiment, tags=tags, run_name=f"trial {trial.number}")
        run_id = run.info.run_id
        _log_params(client, run_id, trial.fields)
        metrics = [
            Metric(name, float(value), 0, int(epoch["epoch"]))
            for epoch in trial.epochs
            for name, value in epoch.items()
            if name not in _NO_FIGURE and isinstance(value, (int, float))
        ]
        if trial.value is not None:
            metrics.append(Metric(f"best_{metric}", trial.value, 0, 0))
        for start in range(0, len(metrics), 1000):
            client.log_batch(run_id, metrics=metrics[start : start + 1000])
        client.set_terminated(run_id, status=_ENDED[trial.state])
        self._known.add(str(trial.number))


def _experiment(client: "MlflowClient") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id if found else client.create_experiment(EXPERIMENT))


def _log_params(client: "MlflowClient", run_id: str, values: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(name, value if isinstance(value, str) else json.dumps(value)) for name, value in values.items()]
    client.log_batch(run_id, params=params[:100])


def _summarise(client: "MlflowClient", run_id: str, result: SearchResult, *, files: Path | None) -> None:
    for state in _ENDED:
        client.log_metric(run_id, f"trials_{state}", result.count(state))
    if result.best is not None and result.best.value is not None:
        client.log_metric(run_id, f"best_{result.metric}", result.best.value, step=result.best.number)
        client.set_tag(run_id, "best.set", result.set_line)
    if files is None:
        return
    for name in (TRIALS, PICTURE):
        client.log_artifact(run_id, str(files / name))
    client.set_terminated(run_id)
