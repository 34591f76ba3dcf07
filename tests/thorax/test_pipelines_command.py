import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.errors import ConfigurationError, NotFoundError, ServiceError
from pipelines.run_record import RunRecord
from tests.pipelines.kfp_api import serve
from thorax.commands.pipeline_arguments import arguments_of
from thorax.commands.pipelines import app
from thorax.live_steps import LiveSteps

WHAT = ["train-classifier", "--recipe", "mobilenetv2_smoke", "--data", "."]


def call(*words: str):
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


def kept_run(home: Path):
    run_dir = home / "runs" / "train-classifier-20261121T000000Z-abc123"
    record = RunRecord(run_dir, "train-classifier", ["ingest-images", "register-model"])
    record.begin("ingest-images")
    record.end("ingest-images", {"Output": "sha256:1"}, cached=True)
    record.begin("register-model")
    record.fail("register-model", "[service_unavailable] the registry does not answer")
    return record.close(passed=False)


def test_the_pipelines_are_listed() -> None:
    assert json.loads(call("list", "--json").stdout).keys() == {
        "train-classifier",
        "cross-validate",
        "search-hyperparameters",
        "watch-drift",
        "retrain",
    }
    assert call("list").stdout.startswith("train-classifier")


def test_compiling_prints_where_the_package_is(tmp_path: Path) -> None:
    result = call("compile", "train-classifier", "--out", str(tmp_path / "p.yaml"))
    assert result.stdout == f"{tmp_path / 'p.yaml'}\n"
    assert (tmp_path / "p.yaml").read_text().startswith("# PIPELINE DEFINITION")


def test_without_a_registry_a_run_does_not_start(home: Path) -> None:
    result = call("run", *WHAT)
    assert isinstance(result.exception, ServiceError)
    assert "thorax up" in str(result.exception)
    assert not (home / "runs").exists()


def test_submitting_prints_the_run(home: Path) -> None:
    with serve() as api:
        result = call("submit", *WHAT, "--host", api.host, "--set", "batch_size=8", "--trigger", "schedule", "--json")
    assert json.loads(result.stdout) == {"run_id": "run-1", "url": f"{api.host}/#/runs/details/run-1"}
    sent = api.runs[0]["runtime_config"]["parameters"]
    assert (sent["overrides"], sent["trigger"], sent["size"]) == ({"batch_size": 8}, "schedule", 64)


def test_a_run_is_shown_by_the_end_of_its_name_with_its_error(home: Path) -> None:
    kept_run(home)
    result = call("show", "abc123")
    assert "reused" in result.stdout
    assert "register-model failed: [service_unavailable] the registry does not answer" in result.stderr.replace(
        "\n", ""
    )
    assert json.loads(call("show", "abc123", "--json").stdout)["steps"][1]["state"] == "failed"


def test_the_runs_are_listed_with_the_code_of_their_error(home: Path) -> None:
    assert call("show").stdout.startswith("no runs in")
    kept_run(home)
    assert "service_unavailable" in call("show").stdout
    assert len(json.loads(call("show", "--json").stdout)) == 1


def changed(*changes: str) -> dict:
    given = {"trigger": "manual", "keep_split": False, "seed": 0}
    return arguments_of("mobilenetv2_smoke", "data", "", "dataset", list(changes), **given)["overrides"]


def test_changes_are_read_as_json_or_text() -> None:
    assert changed("batch_size=4", 'input={"size":64}', "architecture=resnet18") == {
        "batch_size": 4,
        "input": {"size": 64},
        "architecture": "resnet18",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("batch_size", "key=value"),
        ("batch_size=0", "batch_size: "),
        ("speed=1", "speed: "),
        ('floors={"sensitivity_lower":{}}', "floors is not a run's to set"),
        ("name=mine", "name is not a run's to set"),
    ],
)
def test_a_change_that_cannot_be_is_refused_before_anything_starts(change: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        changed(change)


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match="mobilenetv2_smoke"):
        arguments_of("resnet", "data", "", "dataset", [], trigger="manual", keep_split=False, seed=0)


def test_steps_are_told_a_line_each_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LiveSteps() as steps:
        record = RunRecord(tmp_path, "tiny", ["split-dataset"], steps.on_step)
        record.begin("split-dataset")
        record.end("split-dataset", {}, cached=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split() == ["split-dataset", "done", "0.0", "s"]
    assert steps.table().row_count == 1


def test_following_one_run_does_not_go_with_recurring_ones() -> None:
    asked = ["submit", "train-classifier", "--host", "http://127.0.0.1:9", "--recipe", "smallcnn_phantom"]
    result = CliRunner().invoke(app, [*asked, "--data", "x", "--every", "30 3 * * 1", "--wait"])
    assert result.exit_code != 0
    assert "does not go with --every" in str(result.exception)
