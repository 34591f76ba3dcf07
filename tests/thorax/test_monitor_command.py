import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audit import AuditLog
from imaging.errors import NotFoundError
from thorax.commands.monitor import app, plan

RUNNER = CliRunner()
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def serving_home(home: Path) -> Path:
    """A home in which version 3 serves, with a reference and no request yet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    package = home / "release" / "packages" / "chest-xray-3"
    package.mkdir(parents=True)
    pq.write_table(
        pa.table({"mean": [index / 200 for index in range(200)], "p_normal": [index / 300 for index in range(200)]}),
        package / "reference_profile.parquet",
    )
    (package / "model.json").write_text('{"recipe": "mobilenetv2_smoke"}')
    state = {"serving": {"version": "3", "digest": DIGEST, "archive": "chest-xray-3.mar"}}
    (home / "release" / "state.json").write_text(json.dumps(state))
    return home


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
