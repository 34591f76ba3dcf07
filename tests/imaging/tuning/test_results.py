"""What a search says of itself: the best, its command line, what mattered, the picture, the MLflow runs."""

import io
import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from imaging.errors import ConfigurationError
from imaging.recipes.overrides import parse_overrides
from imaging.settings import Settings
from imaging.tuning.recording import EXPERIMENT, SearchRun
from imaging.tuning.results import SearchResult, Trial, importances, require_best
from imaging.tuning.space import described, parse_space

SPACE = parse_space(["stages.0.lr=log(1e-4,1e-1)", "augment.scale=choice([0.9,1.1],[1,1])"])
EPOCH = {"epoch": 1, "stage": "all", "stage_index": 0, "val_loss": 0.4, "val_accuracy": 0.8}


def result(*states: str, metric: str = "val_loss") -> SearchResult:
    trials = tuple(
        Trial(
            number=number,
            state=state,
            value=None if state in {"failed", "running"} else 1 - 0.1 * number,
            fields={"stages.0.lr": 10 ** (-1 - 0.2 * number), "augment.scale": [[0.9, 1.1], [1, 1]][number % 2]},
            epochs=(EPOCH,),
            error="[training_diverged] nan" if state == "failed" else "",
        )
        for number, state in enumerate(states)
    )
    digests = {"dataset": "sha256:d", "split": "sha256:s"}
    return SearchResult(study="s-1", recipe="r", space=described(SPACE), metric=metric, trials=trials, **digests)


def test_the_best_is_the_completed_trial_with_the_lowest_loss_or_the_highest_share() -> None:
    states = ["complete", "complete", "pruned", "failed", "running"]
    assert result(*states).best.number == 1
    assert result(*states, metric="val_macro_auroc").best.number == 0


def test_the_command_line_of_the_best_gives_its_settings_back() -> None:
    found = result("complete", "complete").model_copy(update={"overrides": {"architecture": "resnet18"}})
    words = shlex.split(found.set_line)
    assert words[::2] == ["--set"] * 3
    assert parse_overrides(words[1::2]) == found.best_overrides == {"architecture": "resnet18", **found.best.fields}


def test_a_search_without_a_completed_trial_says_why() -> None:
    with pytest.raises(ConfigurationError, match=r"none of 2; the last failed with \[training_diverged\] nan"):
        require_best(result("pruned", "failed"))


def test_what_alone_decides_the_figure_has_nearly_all_the_importance() -> None:
    found = importances(result(*["complete"] * 8).trials, SPACE)
    assert found["stages.0.lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1, abs=0.01)


def test_three_trials_are_too_few_to_tell_what_mattered() -> None:
    assert importances(result(*["complete"] * 3).trials, SPACE) == {}


@pytest.mark.parametrize("states", [["complete"] * 6 + ["pruned", "failed", "running"], ["failed"], []])
def test_a_search_is_written_as_json_and_one_picture(states: list[str], tmp_path: Path) -> None:
    found = result(*states)
    found.model_copy(update={"importances": importances(found.trials, SPACE)}).write(tmp_path)
    kept = json.loads((tmp_path / "trials.json").read_text())
    picture = Image.open(io.BytesIO((tmp_path / "search.png").read_bytes()))

    assert len(kept["trials"]) == len(states)
    assert kept["best"]["number"] == (5 if "complete" in states else None)
    assert len(picture.convert("L").getcolors()) > 20


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_search_becomes_nested_mlflow_runs_and_goes_on_in_the_same_ones(home: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address)
    client.create_experiment(EXPERIMENT, artifact_location=str(tmp_path / "artifacts"))
    settings = Settings(mlflow_uri=address)
    whole = result("complete", "pruned", "failed", "complete")
    whole.write(tmp_path)

    assert SearchRun(settings).update(result("complete", "running"))
    assert SearchRun(settings).update(whole, files=tmp_path)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = client.search_runs([experiment])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    inside = {run.data.tags["trial"]: run for run in runs if run is not parent}

    assert {number: run.info.status for number, run in inside.items()} == {
        "0": "FINISHED",
        "1": "KILLED",
        "2": "FAILED",
        "3": "FINISHED",
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in inside.values()} == {parent.info.run_id}
    assert inside["0"].data.params["augment.scale"] == "[0.9, 1.1]"
    assert inside["0"].data.metrics["val_accuracy"] == 0.8
    assert inside["2"].data.tags["error"] == "[training_diverged] nan"
    assert (parent.info.status, parent.data.metrics["trials_complete"]) == ("FINISHED", 2)
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {"trials.json", "search.png"}


def test_without_a_registry_nothing_is_recorded_and_with_a_dead_one_the_search_goes_on(home: Path) -> None:
    assert SearchRun(Settings()).update(result("complete")) is False
    assert SearchRun(Settings(mlflow_uri="http://127.0.0.1:9")).update(result("complete")) is False
