import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audit import record
from thorax.commands.audit import app

RUNNER = CliRunner()


@pytest.fixture
def record_of_four(home: Path) -> Path:
    for index in range(4):
        record("run.started" if index else "stack.started", subject=f"[b]{index}", details={"n": [index]})
    return home


def test_a_record_that_holds_exits_0(record_of_four: Path) -> None:
    result = RUNNER.invoke(app, ["verify"])
    assert result.exit_code == 0
    assert "4 events hold" in result.stdout


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE events SET actor = 'x' WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("DELETE FROM events WHERE seq > 2", 3),
    ],
)
def test_a_record_that_does_not_hold_exits_1_and_names_the_first_bad_one(
    record_of_four: Path, statement: str, named: int
) -> None:
    connection = sqlite3.connect(record_of_four / "audit" / "audit.db")
    for trigger in ("events_never_change", "events_never_leave"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(statement)
    connection.commit()
    connection.close()
    result = RUNNER.invoke(app, ["verify", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["first_bad"] == named
    assert f"first bad record: {named}" in RUNNER.invoke(app, ["verify"]).stdout


def test_show_filters_and_leaves_square_brackets_alone(record_of_four: Path) -> None:
    events = json.loads(RUNNER.invoke(app, ["show", "--action", "run.started", "--limit", "2", "--json"]).stdout)
    assert [event["seq"] for event in events] == [3, 4]
    assert "[b]3" in RUNNER.invoke(app, ["show"], env={"COLUMNS": "200"}).stdout


def test_an_export_is_written_and_checked_by_the_same_command(record_of_four: Path, tmp_path: Path) -> None:
    path = tmp_path / "record.html"
    assert RUNNER.invoke(app, ["export", str(path)]).exit_code == 0
    assert RUNNER.invoke(app, ["verify", "--file", str(path)]).exit_code == 0
    path.write_text(path.read_text().replace("run.started", "run.finished", 1))
    assert RUNNER.invoke(app, ["verify", "--file", str(path)]).exit_code == 1


def test_the_key_is_rotated_and_the_record_goes_on(record_of_four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_ACTOR", "security-officer")
    told = json.loads(RUNNER.invoke(app, ["rotate-key", "--json"]).stdout)
    assert told["seq"] == 5
    record("run.finished", subject="after")
    (event,) = json.loads(RUNNER.invoke(app, ["show", "--action", "key.rotated", "--json"]).stdout)
    assert (event["actor"], event["details"]["fingerprint"]) == ("security-officer", told["key"])
    assert "6 events hold" in RUNNER.invoke(app, ["verify", "--every-signature"]).stdout


def test_the_schema_for_postgresql_is_printed_with_its_writers(home: Path) -> None:
    result = RUNNER.invoke(app, ["schema", "--writer", "thorax_audit"])
    assert result.exit_code == 0
    assert "GRANT SELECT, INSERT ON events TO thorax_audit;" in result.stdout
    assert RUNNER.invoke(app, ["schema", "--writer", "x; drop"]).exit_code != 0
