"""What `thorax retrain` says and starts."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit import AuditLog
from tests.thorax.kept_runs import keep_run
from thorax.cli import app
from thorax.commands.retrain_data import counts_of

RUNNER = CliRunner()
GIVEN = {"recipe": "mobilenetv2_smoke", "seed": 7}


def ran(*command: str) -> dict[str, Any]:
    done = RUNNER.invoke(app, ["retrain", *command, "--json"])
    assert done.exit_code in (0, 1), done.output
    return json.loads(done.stdout)


def test_a_persons_start_is_recorded_with_the_reason_and_uses_the_champions_data(
    serving_home: Path,
    started: list[dict[str, Any]],
) -> None:
    dataset = keep_run(serving_home, "3", GIVEN)
    told = ran("start", "--reason", "a new protocol")
    assert (told["action"], told["rule"]) == ("retrain", "within_plan")
    assert started[0]["source"] == str(dataset)
    (event,) = AuditLog(serving_home / "audit").events(action="retrain.requested")
    assert (event.details["trigger"], event.details["asked"]) == ("person", "a new protocol")


def test_without_data_it_is_refused_by_the_clause(serving_home: Path, started: list[dict[str, Any]]) -> None:
    told = ran("start", "--reason", "why not")
    assert (told["action"], told["rule"]) == ("refuse", "labelled_data")
    assert started == []
    assert AuditLog(serving_home / "audit").events(action="retrain.refused")[0].details["rule"] == "labelled_data"


def test_status_and_explain_tell_what_was_done_and_what_would_be(
    serving_home: Path,
    started: list[dict[str, Any]],
) -> None:
    before = {row["trigger"]: (row["action"], row["rule"]) for row in ran("explain")["triggers"]}
    assert before == {
        "drift": ("retrain", "within_plan"),
        "performance": ("retrain", "within_plan"),
        "schedule": ("retrain", "within_plan"),
        "person": ("retrain", "within_plan"),
    }
    keep_run(serving_home, "3", GIVEN)
    ran("start", "--reason", "a new protocol")
    status = ran("status")
    assert [(row["for"], row["outcome"]) for row in status["retrainings"]] == [("3", "failed")]
    assert status["left_in_90_days"] == 5
    after = {row["trigger"]: row["rule"] for row in ran("explain")["triggers"]}
    assert after == {"drift": "cool_down", "performance": "cool_down", "schedule": "not_due", "person": "cool_down"}


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_a_label_table_is_counted_wherever_it_lies(tmp_path: Path, place: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,covid\nb.png,covid\nc.png,normal\nd.png,\n")
    assert counts_of(str(tmp_path), "labels.csv" if place == "inside" else str(table)) == {"covid": 2, "normal": 1}
    assert counts_of(str(tmp_path), "") == {}
