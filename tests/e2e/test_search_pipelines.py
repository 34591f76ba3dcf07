"""Cross-validation and search as pipelines, and `thorax tune` killed and gone on with: real steps, a tiny phantom."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.data.dataset import load_dataset
from imaging.data.phantom import write_phantom
from imaging.data.splits import Split
from pipelines.run_record import RunResult
from pipelines.runner import run_local

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

ONE_EPOCH = {"stages": [{"name": "all", "epochs": 1, "trainable": "all", "lr": 0.001, "augment": False}]}
SPACE = {"stages.0.lr": "log(1e-4,1e-2)", "batch_size": "choice(8,16)"}
THORAX = [sys.executable, "-c", "from thorax.cli import main; main()"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without any server, and a phantom beside it."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("THORAX_", "MLFLOW_TRACKING"))]:
        del os.environ[name]
    root = tmp_path_factory.mktemp("search")
    os.environ["THORAX_HOME"] = str(root / "home")
    write_phantom(root / "phantom", patients=36, size=64)
    try:
        yield root
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(place: Path, name: str, **own) -> RunResult:
    given = {"source": str(place / "phantom"), "labels": "labels.csv", "name": "phantom", "size": 64}
    return run_local(name, {**given, "recipe": "mobilenetv2_smoke", "overrides": ONE_EPOCH, **own}, home=place / "home")


@pytest.fixture(scope="module")
def searched(place: Path) -> RunResult:
    result = run(place, "search-hyperparameters", space=SPACE, trials=3)
    assert result.error == ""
    return result


def test_cross_validation_tests_every_patient_once_and_registers_nothing(place: Path) -> None:
    result = run(place, "cross-validate", folds=2, resamples=50)
    assert result.error == ""
    states = {step.name: step.state for step in result.steps}
    summary = result.artifact("summarise-folds", "summary")
    found = json.loads((summary / "cross_validation.json").read_text())
    dataset = load_dataset(result.artifact("ingest-images", "dataset"))
    tested = [Split.load(result.artifact(f"split-fold/{fold}", "split")).parts["test"] for fold in range(2)]

    assert result.passed
    assert set(states.values()) == {"done"}
    assert {name for name in states if "/" in name} == {
        f"{step}/{fold}"
        for step in ("split-fold", "train-model", "calibrate-model", "evaluate-fold")
        for fold in range(2)
    }
    assert sorted([*tested[0], *tested[1]]) == list(range(len(dataset)))
    assert found["n_images"] == len(dataset)
    assert found["overall"]["macro_auroc"]["pooled"]["low"] is not None
    assert {"cross_validation.html", "cross_validation.png", "predictions.parquet"} <= {
        f.name for f in summary.iterdir()
    }
    assert result.version == ""


def test_a_search_tries_every_setting_and_chooses_the_best_by_validation(searched: RunResult) -> None:
    folder = searched.artifact("choose-settings", "search")
    found = json.loads((folder / "trials.json").read_text())
    values = [trial["value"] for trial in found["trials"]]

    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 3
    assert found["best"]["value"] == min(values)
    assert found["best"]["overrides"] == json.loads((folder / "best.json").read_text())
    assert {**ONE_EPOCH, **found["trials"][values.index(min(values))]["fields"]} == found["best"]["overrides"]
    assert searched.outputs["choose-settings"]["Output"] == found["best"]["overrides"]
    assert (folder / "search.png").read_bytes().startswith(b"\x89PNG")


def test_a_search_run_again_trains_only_what_is_new(place: Path, searched: RunResult) -> None:
    again = run(place, "search-hyperparameters", space=SPACE, trials=3)
    assert {step.name for step in again.steps if not step.cached} == set()


def test_a_space_that_cannot_be_stops_before_anything_is_read(place: Path) -> None:
    result = run(place, "search-hyperparameters", space={"stages.0.rate": "log(1e-4,1e-2)"})
    states = {step.name: step.state for step in result.steps}

    assert "[bad_configuration]" in result.error
    assert "'rate'" in result.error
    assert states == {
        "propose-settings": "failed",
        "ingest-images": "skipped",
        "split-dataset": "skipped",
        "try-settings": "skipped",
        "choose-settings": "skipped",
    }


def tune(searched: RunResult, trials: int) -> list[str]:
    dataset = searched.artifact("ingest-images", "dataset")
    changes = ["--set", f"stages={json.dumps(ONE_EPOCH['stages'])}", "--set", "stages.0.epochs=2"]
    space = ["--space", "stages.0.lr=log(1e-4,1e-2)", "--space", "batch_size=choice(8,16)"]
    given = ["mobilenetv2_smoke", "--data", str(dataset), *changes, *space, "--trials", str(trials), "--json"]
    return [*THORAX, "tune", *given]


def test_a_search_killed_in_the_middle_of_a_trial_goes_on_and_tries_it_once_more(
    place: Path, searched: RunResult
) -> None:
    with subprocess.Popen(
        tune(searched, 3), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as search:
        for line in search.stderr:
            if "trial 1" in line and "epoch" in line:
                break
        search.send_signal(signal.SIGKILL)
    time.sleep(0.5)
    ended = subprocess.run(tune(searched, 3), capture_output=True, text=True, check=False, timeout=300)
    found = json.loads(ended.stdout)
    retried = [trial for trial in found["trials"] if trial["retry_of"] is not None]
    cut_off = found["trials"][retried[0]["retry_of"]]

    assert ended.returncode == 0, ended.stderr
    assert (cut_off["number"], cut_off["state"]) == (1, "failed")
    assert cut_off["error"].startswith("[interrupted]")
    assert len(retried) == 1
    assert retried[0]["fields"] == cut_off["fields"]
    assert [trial["state"] for trial in found["trials"]].count("complete") == 3
    assert len({json.dumps(trial["fields"]) for trial in found["trials"] if trial["retry_of"] is None}) == 3
    assert found["best"]["set"].startswith("--set ")
