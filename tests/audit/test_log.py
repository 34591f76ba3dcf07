import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import AuditLog, default_folder, record
from audit.errors import AuditError, DamagedLogError, ForeignWitnessError, UnfitDetailsError, UnknownActionError
from audit.event import canonical, checked_details

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def test_each_event_carries_the_hash_of_the_one_before(full_log: AuditLog) -> None:
    events = full_log.events()
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.previous_hash for event in events[1:]] == [event.hash for event in events[:-1]]
    assert full_log.verify().ok
    assert full_log.verify().checked == 6


def test_a_log_that_was_never_written_holds(log: AuditLog) -> None:
    assert log.events() == []
    assert log.verify().ok


def test_events_are_chosen_by_action_subject_time_and_number(full_log: AuditLog) -> None:
    full_log.append("drift.detected", actor="monitor", subject="model/3", details={"psi": 0.4})
    assert [event.subject for event in full_log.events(action="drift.detected")] == ["model/3"]
    assert [event.seq for event in full_log.events(subject="run/2")] == [3]
    assert [event.seq for event in full_log.events(limit=2)] == [6, 7]
    assert full_log.events(since=datetime.now(UTC) + timedelta(minutes=1)) == []
    assert len(full_log.events(since=datetime.now(UTC) - timedelta(minutes=1))) == 7


def test_an_unknown_action_is_refused_with_the_names_that_are(log: AuditLog) -> None:
    with pytest.raises(UnknownActionError, match=r"model\.approved"):
        log.append("model.aproved", actor="x", subject="y")


@pytest.mark.parametrize("details", [{"password": "x"}, {"a": [{"patient_id": "x"}]}, {"PatientName": "x"}])
def test_secrets_and_patients_are_refused(log: AuditLog, details: dict) -> None:
    with pytest.raises(UnfitDetailsError, match="may not carry"):
        log.append("run.started", actor="x", subject="y", details=details)
    assert log.events() == []


@pytest.mark.parametrize("details", [{"x": object()}, {"x": "a" * 70_000}, {"x": b"bytes"}, {"x": "\ud800"}])
def test_details_that_cannot_be_kept_are_refused(log: AuditLog, details: dict) -> None:
    with pytest.raises(UnfitDetailsError):
        log.append("run.started", actor="x", subject="y", details=details)


def test_numbers_of_numpy_paths_and_nan_become_plain_json() -> None:
    found = checked_details(
        {"a": np.float64(0.5), "b": Path("x/y"), "c": float("nan"), "d": (np.int64(3),), "e": {"z"}}
    )
    assert found == {"a": 0.5, "b": "x/y", "c": "nan", "d": [3], "e": ["z"]}


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_canonical_text_of_kept_details_survives_reading_it_back(details: dict) -> None:
    import json

    kept = checked_details(details)
    assert canonical(json.loads(canonical(kept))) == canonical(kept)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'somebody' WHERE seq = 2",
        "DELETE FROM events WHERE seq = 6",
        "INSERT OR REPLACE INTO events SELECT seq, time, 'somebody', action, subject, details, previous_hash, hash, "
        "signature FROM events WHERE seq = 2",
        "INSERT INTO events SELECT 9, time, actor, action, subject, details, previous_hash, hash, signature "
        "FROM events WHERE seq = 6",
        "INSERT INTO events SELECT 7, time, actor, action, subject, details, 'other', hash, signature "
        "FROM events WHERE seq = 6",
    ],
)
def test_the_database_itself_refuses_all_but_the_next_record(full_log: AuditLog, statement: str) -> None:
    connection = sqlite3.connect(full_log.path / "audit.db")
    with pytest.raises(sqlite3.IntegrityError, match="audit record"):
        connection.execute(statement)
    connection.close()
    assert full_log.verify().ok


def test_the_signing_key_is_for_its_owner_alone(full_log: AuditLog) -> None:
    assert stat.S_IMODE((full_log.path / "signing.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(full_log.path.stat().st_mode) == 0o700


def test_a_lost_key_is_not_silently_replaced(full_log: AuditLog) -> None:
    (full_log.path / "signing.key").unlink()
    with pytest.raises(ForeignWitnessError, match=r"signing\.key"):
        full_log.append("run.started", actor="x", subject="y")


def test_a_lost_witness_is_not_silently_replaced(full_log: AuditLog) -> None:
    full_log.witness.heads_path.unlink()
    with pytest.raises(ForeignWitnessError, match="put its witness"):
        full_log.append("run.started", actor="x", subject="y")
    assert not full_log.verify().ok


def test_two_logs_cannot_share_a_witness(full_log: AuditLog, tmp_path: Path) -> None:
    other = AuditLog(tmp_path / "other", witness=full_log.witness.folder)
    with pytest.raises(AuditError, match="witness"):
        other.append("run.started", actor="x", subject="y")


def test_a_file_that_is_no_database_is_said_to_be_damaged(full_log: AuditLog) -> None:
    (full_log.path / "audit.db").write_bytes(b"not a database" * 100)
    with pytest.raises(DamagedLogError):
        full_log.append("run.started", actor="x", subject="y")
    assert not full_log.verify().ok


def test_the_log_named_by_the_environment_goes_before_that_of_any_home(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("THORAX_HOME", str(tmp_path / "one"))
    monkeypatch.delenv("THORAX_AUDIT", raising=False)
    assert default_folder() == tmp_path / "one" / "audit"
    assert default_folder(tmp_path / "two") == tmp_path / "two" / "audit"
    monkeypatch.setenv("THORAX_AUDIT", str(tmp_path / "record"))
    assert default_folder() == default_folder(tmp_path / "two") == tmp_path / "record"


def test_record_writes_to_the_log_and_as_the_actor_of_the_environment(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("THORAX_HOME", str(tmp_path))
    monkeypatch.setenv("THORAX_AUDIT_WITNESS", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("THORAX_AUDIT", raising=False)
    monkeypatch.setenv("THORAX_ACTOR", "approver")
    record("model.approved", subject="chest-xray/3")
    monkeypatch.delenv("THORAX_ACTOR")
    record("stack.started", subject="stack")
    log = AuditLog(tmp_path / "audit")
    assert [event.actor for event in log.events()] == ["approver", "system"]
    assert log.verify().ok
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["audit.pub", "heads.jsonl"]
