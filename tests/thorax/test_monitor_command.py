import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit import AuditLog
from imaging.errors import NotFoundError
from monitoring.drift import DriftResult
from monitoring.served import served_model
from tests.thorax.kept_runs import keep_run
from thorax.commands.monitor import app, plan, respond

RUNNER = CliRunner()
DIGEST = "sha256:" + "a" * 64


GIVEN = {
    "recipe": "mobilenetv2_smoke",
    "seed": 7,
    "size": 96,
    "keep_split": True,
    "overrides": {"epochs": 3},
    "trigger": "manual",
    "champion": "2",
}


@pytest.fixture
def drifted(home: Path) -> DriftResult:
    """A check that shows drift."""
    files = {"html": home / "drift" / "check" / "drift.html", "json": home / "drift" / "check" / "drift.json"}
    counts = {"rows": 200, "reference_rows": 200, "refused": 0, "enough": True}
    return DriftResult(drifted=True, scores={"mean": 1.5}, noise={"mean": 0.1}, above=("mean",), **counts, **files)


def test_a_retraining_is_given_what_the_champions_run_was_given(
    serving_home: Path, drifted: DriftResult, started: list[dict[str, Any]]
) -> None:
    keep_run(serving_home, "2", {**GIVEN, "seed": 1})
    dataset = keep_run(serving_home, "3", GIVEN)
    keep_run(serving_home, "4", {**GIVEN, "seed": 2})
    respond(serving_home, served_model(serving_home), drifted)
    taken = {name: GIVEN[name] for name in ("recipe", "seed", "size", "keep_split", "overrides")}
    rest = {"source": str(dataset), "labels": "", "name": "retrain", "trigger": "drift"}
    assert started == [{**taken, **rest}]


def test_a_whole_dataset_and_its_own_options_go_before_the_champions_run(
    serving_home: Path, drifted: DriftResult, started: list[dict[str, Any]], tmp_path: Path
) -> None:
    keep_run(serving_home, "3", GIVEN)
    given = {"data": str(tmp_path), "labels": "l.csv", "keep_split": False, "whole": True}
    respond(serving_home, served_model(serving_home), drifted, **given)
    (arguments,) = started
    assert (arguments["source"], arguments["labels"], arguments["keep_split"]) == (str(tmp_path), "l.csv", False)
    assert (arguments["seed"], arguments["overrides"]) == (7, {"epochs": 3})


def test_new_images_are_merged_into_the_champions_dataset_by_its_own_split(
    serving_home: Path, drifted: DriftResult, started: list[dict[str, Any]], tmp_path: Path
) -> None:
    base = keep_run(serving_home, "3", {**GIVEN, "keep_split": False})
    respond(serving_home, served_model(serving_home), drifted, data=str(tmp_path), labels="l.csv")
    own = {"seed": 7, "keep_split": False, "overrides": {"epochs": 3}, "recipe": "mobilenetv2_smoke"}
    assert started == [{"base": str(base), "source": str(tmp_path), "labels": "l.csv", "trigger": "drift", **own}]


def test_a_retrained_champion_is_retrained_on_the_version_that_its_own_run_merged(
    serving_home: Path, drifted: DriftResult, started: list[dict[str, Any]], tmp_path: Path
) -> None:
    keep_run(serving_home, "2", GIVEN)
    given = {name: GIVEN[name] for name in ("recipe", "seed", "overrides")} | {"keep_split": False}
    merged = keep_run(serving_home, "3", given, pipeline="retrain")
    respond(serving_home, served_model(serving_home), drifted, data=str(tmp_path), labels="l.csv")
    (arguments,) = started
    assert (arguments["base"], arguments["keep_split"]) == (str(merged), True)


def test_new_images_are_refused_where_the_champions_dataset_is_gone(
    serving_home: Path, drifted: DriftResult, started: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="--whole-dataset"):
        respond(serving_home, served_model(serving_home), drifted, data=str(tmp_path))
    assert started == []


def test_a_whole_dataset_is_trained_on_with_the_defaults_where_the_champions_run_is_gone(
    serving_home: Path, drifted: DriftResult, started: list[dict[str, Any]], tmp_path: Path
) -> None:
    respond(serving_home, served_model(serving_home), drifted, data=str(tmp_path), whole=True)
    rest = {"labels": "", "name": "retrain", "trigger": "drift"}
    assert started == [{"recipe": "mobilenetv2_smoke", "source": str(tmp_path), **rest}]


def test_a_look_at_another_package_records_nothing_and_says_so(serving_home: Path) -> None:
    package = serving_home / "release" / "packages" / "chest-xray-3"
    result = RUNNER.invoke(app, ["drift", "--package", str(package), "--json"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["recorded"] is False
    assert "not recorded" in result.stderr
    assert AuditLog(serving_home / "audit").events() == []


def test_a_look_goes_to_the_record_that_the_environment_names(
    serving_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORAX_AUDIT", str(tmp_path / "record"))
    assert RUNNER.invoke(app, ["drift", "--no-retrain"]).exit_code == 0
    assert [event.action for event in AuditLog(tmp_path / "record").events()] == ["run.finished"]
    assert not (serving_home / "audit").exists()


def test_a_look_without_requests_says_so_and_starts_nothing(serving_home: Path) -> None:
    result = RUNNER.invoke(app, ["drift", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["rows"], told["drifted"], told["decision"]["action"]) == (0, False, "none")
    assert [event.action for event in AuditLog(serving_home / "audit").events()] == ["run.finished"]


def test_the_table_gives_the_verdict(serving_home: Path) -> None:
    result = RUNNER.invoke(app, ["drift", "--no-retrain"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "Too little to judge" in result.stdout


def test_nothing_serving_is_an_error_with_advice(home: Path) -> None:
    result = RUNNER.invoke(app, ["drift"])
    assert isinstance(result.exception, NotFoundError)


def test_the_installed_plan_loads() -> None:
    assert plan().triggers["drift"].bound == 0.2


def test_collect_moves_the_log_and_says_that_no_bucket_is_set(serving_home):
    result = RUNNER.invoke(app, ["collect", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"rows": 0, "files": 0, "sent": None}


def log_one_request(home: Path) -> None:
    from audit.predictions import PredictionSpool
    from tests.monitoring.conftest import prediction_row

    spool = PredictionSpool(home / "predictions" / "spool")
    spool.append(prediction_row(0))
    spool.close()


def test_a_bucket_that_is_away_stops_no_look_but_is_told(serving_home, monkeypatch):
    log_one_request(serving_home)
    monkeypatch.setenv("THORAX_PREDICTIONS_BUCKET", "predictions")
    monkeypatch.setenv("THORAX_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("THORAX_S3_ACCESS_KEY", "nobody")
    monkeypatch.setenv("THORAX_S3_SECRET_KEY", "nothing")
    result = RUNNER.invoke(app, ["drift", "--no-retrain", "--json"])
    assert result.exit_code == 0
    assert "did not take the prediction log" in result.stderr
    assert json.loads(result.stdout)["version"] == "3"


def test_collect_fails_where_the_bucket_is_away_and_keeps_the_log(serving_home, monkeypatch):
    from imaging.errors import ServiceError
    from monitoring.prediction_log import read_log

    log_one_request(serving_home)
    monkeypatch.setenv("THORAX_PREDICTIONS_BUCKET", "predictions")
    monkeypatch.setenv("THORAX_S3_ENDPOINT", "http://127.0.0.1:9")
    result = RUNNER.invoke(app, ["collect"])
    assert isinstance(result.exception, ServiceError)
    assert len(read_log(serving_home / "predictions" / "parquet")) == 1
