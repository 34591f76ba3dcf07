"""The whole training pipeline with a real registry: register, reuse, compare with the champion, fail, be killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit import AuditLog
from audit.predictions import PredictionSpool
from imaging.data.sources import s3_client
from imaging.models.directory import package_digest
from imaging.registry import Registry
from imaging.registry.session import signed_in
from monitoring.prediction_log import collect
from monitoring.upload import upload
from pipelines.run_record import RunResult, list_runs
from pipelines.runner import run_local
from tests.monitoring.conftest import prediction_row
from tests.pipelines.easy_images import LEARNING, write_easy_images
from thorax import stack
from thorax.stack.environment import environment, settings_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

KILLS = 5
ALL = ("ingest-images", "split-dataset", "train-model", "calibrate-model", "evaluate-model", "package-model")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose stack is up, and images beside it; this process acts as the trainer."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("THORAX_")]:
        del os.environ[name]
    root = tmp_path_factory.mktemp("training")
    write_easy_images(root / "images")
    try:
        stack.up(root / "home")
        os.environ.update(environment(root / "home", "trainer"))
        yield root
    finally:
        stack.down(root / "home")
        os.environ.clear()
        os.environ.update(before)


def arguments(place: Path, **changes) -> dict:
    given = {"source": str(place / "images"), "labels": "labels.csv", "recipe": "mobilenetv2_smoke", "size": 64}
    return {**given, "overrides": LEARNING, **changes}


def command(place: Path, overrides: dict) -> list[str]:
    changes = [word for name, value in overrides.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    given = ["--recipe", "mobilenetv2_smoke", "--data", str(place / "images"), "--labels", "labels.csv", "--json"]
    thorax = [sys.executable, "-c", "from thorax.cli import main; main()"]
    return [*thorax, "pipelines", "run", "train-classifier", *given, *changes]


@pytest.fixture(scope="module")
def first(place: Path) -> RunResult:
    result = run_local("train-classifier", arguments(place), home=place / "home")
    assert result.error == ""
    return result


def test_a_model_that_passes_is_registered_as_challenger_with_its_whole_package(place: Path, first: RunResult) -> None:
    settings = settings_for(place / "home", "trainer")
    registry = Registry.from_settings(settings)
    info = registry.by_alias("challenger")
    fetched = registry.download(info.version, place / "fetched")
    events = [event.action for event in AuditLog(place / "home" / "audit").events(subject=f"chest-xray/{info.version}")]

    assert info.version == first.version
    assert info.author == "trainer"
    assert (
        info.tags["package.digest"]
        == package_digest(fetched)
        == package_digest(first.artifact("package-model", "package"))
    )
    assert events == ["model.registered"]


def test_drift_is_checked_from_the_bucket_and_the_registry_alone(place: Path, first: RunResult, tmp_path: Path) -> None:
    settings = settings_for(place / "home", "trainer")
    digest = Registry.from_settings(settings).get(first.version).tags["package.digest"]
    spool = PredictionSpool(tmp_path / "spool")
    for index in range(40):
        spool.append(prediction_row(index, model_digest=digest) | {"time": datetime.now(UTC).isoformat()})
    spool.close()
    collect(tmp_path / "spool", tmp_path / "parquet")
    upload(tmp_path / "parquet", settings.predictions_bucket, settings)
    asked = {"bucket": settings.predictions_bucket, "version": first.version, "reports": "reports"}
    result = run_local("watch-drift", asked, home=place / "home")
    assert result.error == ""
    report = result.artifact("check-drift", "report")
    found = json.loads((report / "drift.json").read_text())
    assert (found["rows"], found["model_digest"], found["enough"]) == (40, digest, False)
    assert (report / "drift.html").is_file()
    kept = s3_client(settings).list_objects_v2(Bucket="reports", Prefix=f"drift/{first.version}/")["Contents"]
    assert any(item["Key"].endswith("/drift.html") for item in kept)
    with signed_in(settings) as client:
        run = client.get_model_version("chest-xray", first.version).run_id
        (place_of_it,) = client.list_artifacts(run, "drift")
        assert f"{place_of_it.path}/drift.json" in {one.path for one in client.list_artifacts(run, place_of_it.path)}


def test_a_rerun_reuses_all_but_gates_and_registration_and_registers_nothing_new(place: Path, first: RunResult) -> None:
    again = run_local("train-classifier", arguments(place), home=place / "home")

    assert again.version == first.version
    assert {step.name for step in again.steps if step.cached} == set(ALL)
    assert len(Registry.from_settings(settings_for(place / "home", "trainer")).versions()) == 1


def test_killed_at_random_points_the_pipeline_ends_with_the_same_model(place: Path, first: RunResult) -> None:
    """With nothing to reuse but what the killed runs finished themselves."""
    for entry in (place / "home" / "runs" / ".cache").glob("*.json"):
        entry.unlink()
    moments = random.Random(7)
    for _ in range(KILLS):
        with subprocess.Popen(command(place, LEARNING), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            time.sleep(moments.uniform(2, 16))
            run.send_signal(signal.SIGKILL)
    ended = subprocess.run(command(place, LEARNING), capture_output=True, text=True, check=False, timeout=900)
    result = json.loads(ended.stdout)
    weights = Path(result["outputs"]["train-model"]["model"]) / "model.safetensors"

    assert ended.returncode == 0
    assert weights.read_bytes() == (first.artifact("train-model", "model") / "model.safetensors").read_bytes()
    assert all(run.ended for run in list_runs(place / "home"))
    assert AuditLog(place / "home" / "audit").verify().ok


def test_the_next_model_is_compared_with_the_champion(place: Path, first: RunResult) -> None:
    Registry.from_settings(settings_for(place / "home", "approver")).set_alias(first.version, "champion")
    after = run_local("train-classifier", arguments(place, trigger="drift"), home=place / "home")
    states = {step.name: step.cached for step in after.steps}

    assert after.passed
    assert after.outputs["evaluate-model"]["Output"] == first.version
    assert (states["calibrate-model"], states["evaluate-model"]) == (True, False)
    assert after.version != first.version


def test_a_model_that_fails_a_gate_ends_with_status_1_and_registers_nothing(place: Path, first: RunResult) -> None:
    versions = len(Registry.from_settings(settings_for(place / "home", "trainer")).versions())
    one_epoch = {"stages": [{"name": "head", "epochs": 1, "trainable": "head", "lr": 1e-6, "augment": False}]}
    ended = subprocess.run(command(place, one_epoch), capture_output=True, text=True, check=False, timeout=900)
    result = json.loads(ended.stdout)

    assert ended.returncode == 1
    assert result["error"].startswith("[gate_failed]")
    assert result["gates"]["passed"] is False
    assert "check-gates failed: [gate_failed]" in ended.stderr
    assert len(Registry.from_settings(settings_for(place / "home", "trainer")).versions()) == versions
