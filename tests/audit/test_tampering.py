import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import AuditLog
from audit.event import AuditEvent, canonical, sha256_hex
from audit.heads import head_text
from audit.keys import load_or_create_key
from audit.log import AuditLog as Log
from audit.store import TRIGGERS
from tests.audit.conftest import Tamperer, fill

COLUMNS = "time, actor, action, subject, details, previous_hash, hash, signature"


def first_bad(log: AuditLog) -> int | None:
    found = log.verify()
    assert not found.ok
    assert found.problem
    return found.first_bad


@pytest.mark.parametrize("column", COLUMNS.split(", "))
def test_an_edited_field_is_found_in_its_record(full_log: AuditLog, column: str) -> None:
    Tamperer(full_log).run(f"UPDATE events SET {column} = {column} || ' ' WHERE seq = 3")
    assert first_bad(full_log) == 3


def test_a_space_or_a_doubled_key_in_the_details_is_found(full_log: AuditLog) -> None:
    Tamperer(full_log).run("""UPDATE events SET details = '{"index":9,"index":4,"ok":true}' WHERE seq = 5""")
    assert first_bad(full_log) == 5


def test_a_deleted_record_is_named_as_the_missing_one(full_log: AuditLog) -> None:
    Tamperer(full_log).run("DELETE FROM events WHERE seq = 4")
    assert first_bad(full_log) == 4


def test_a_deleted_record_closed_up_by_renumbering_is_found(full_log: AuditLog) -> None:
    Tamperer(full_log).run(
        "DELETE FROM events WHERE seq = 4",
        "UPDATE events SET seq = 4 WHERE seq = 5",
        "UPDATE events SET seq = 5 WHERE seq = 6",
    )
    assert first_bad(full_log) == 4


def test_an_inserted_record_is_found(full_log: AuditLog) -> None:
    moves = [f"UPDATE events SET seq = {seq + 1} WHERE seq = {seq}" for seq in (6, 5, 4, 3)]
    Tamperer(full_log).run(*moves, f"INSERT INTO events SELECT 3, {COLUMNS} FROM events WHERE seq = 2")
    assert first_bad(full_log) == 3


def test_a_swapped_pair_is_found_at_the_first_of_the_two(full_log: AuditLog) -> None:
    Tamperer(full_log).run(*(f"UPDATE events SET seq = {to} WHERE seq = {of}" for of, to in ((2, 99), (5, 2), (99, 5))))
    assert first_bad(full_log) == 2


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_a_cut_tail_is_found_by_the_witness(full_log: AuditLog, kept: int) -> None:
    Tamperer(full_log).run(f"DELETE FROM events WHERE seq > {kept}")
    assert first_bad(full_log) == kept + 1


def test_a_cut_tail_is_found_even_after_new_records_followed(full_log: AuditLog) -> None:
    Tamperer(full_log).run("DELETE FROM events WHERE seq > 3")
    fill(full_log, 4)
    assert first_bad(full_log) == 4


def test_a_deleted_database_is_found(full_log: AuditLog) -> None:
    (full_log.path / "audit.db").unlink()
    assert first_bad(full_log) == 1


def test_a_restored_older_database_is_found(full_log: AuditLog, tmp_path: Path) -> None:
    shutil.copy(full_log.path / "audit.db", tmp_path / "older.db")
    fill(full_log, 2)
    shutil.copy(tmp_path / "older.db", full_log.path / "audit.db")
    assert first_bad(full_log) == 7


def test_a_chain_rewritten_with_the_real_key_is_found_by_the_witness(full_log: AuditLog) -> None:
    key = load_or_create_key(full_log.path, full_log.witness, is_new=False)
    statements, previous = [], full_log.events()[2].hash
    for event in full_log.events()[3:]:
        forged = AuditEvent(**{**event.to_json(), "actor": "somebody", "previous_hash": previous, "hash": ""})
        digest = sha256_hex(forged.text)
        signature = key.sign(head_text(forged.seq, digest).encode()).hex()
        statements.append(
            f"UPDATE events SET actor = 'somebody', previous_hash = '{previous}', hash = '{digest}', "
            f"signature = '{signature}', details = '{canonical(forged.details)}' WHERE seq = {forged.seq}"
        )
        previous = digest
    Tamperer(full_log).run(*statements)
    assert first_bad(full_log) == 4
    assert "witnessed" in (full_log.verify().problem or "")


def test_dropped_append_only_rules_are_found(full_log: AuditLog) -> None:
    import sqlite3

    connection = sqlite3.connect(full_log.path / "audit.db", isolation_level=None)
    connection.execute(f"DROP TRIGGER {next(iter(TRIGGERS))}")
    connection.close()
    fill(full_log, 1)
    assert "append-only rules" in (full_log.verify().problem or "")


def test_another_witness_key_is_found(full_log: AuditLog, tmp_path: Path) -> None:
    other = Log(tmp_path / "other")
    fill(other, 1)
    shutil.copy(other.witness.public_key_path, full_log.witness.public_key_path)
    assert first_bad(full_log) == 1


def test_a_forged_head_in_the_witness_is_said(full_log: AuditLog) -> None:
    with full_log.witness.heads_path.open("a") as file:
        file.write('{"hash":"00","seq":90,"signature":"00"}\n')
    assert "line" in (full_log.verify().problem or "")


def test_a_head_torn_by_a_kill_is_passed_over_and_swallows_no_later_one(full_log: AuditLog) -> None:
    with full_log.witness.heads_path.open("a") as file:
        file.write('{"hash":"00","se')
    fill(full_log, 1)
    assert full_log.verify().ok
    Tamperer(full_log).run("DELETE FROM events WHERE seq = 7")
    assert first_bad(full_log) == 7


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_of_a_record_never_goes_unseen(full_log: AuditLog, data: st.DataObject, tmp_path: Path) -> None:
    database = full_log.path / "audit.db"
    original = database.read_bytes()
    stored = [event.text.encode() for event in full_log.events()]
    words = [event.hash.encode() for event in full_log.events()] + [b"run/0", b"trainer", b'{"index":3,"ok":true}']
    assert stored
    word = data.draw(st.sampled_from(words))
    place = original.index(word) + data.draw(st.integers(0, len(word) - 1))
    changed = bytearray(original)
    changed[place] ^= data.draw(st.integers(1, 255))
    database.write_bytes(bytes(changed))
    try:
        assert not full_log.verify().ok
        assert full_log.verify().first_bad is not None
    finally:
        database.write_bytes(original)
    assert full_log.verify().ok
