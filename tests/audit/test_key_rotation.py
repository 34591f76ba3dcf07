"""The record goes over to another key, and whoever holds the old one has no say any more."""

import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import audit.log
from audit import AuditError, AuditLog
from audit.event import AuditEvent, canonical, sha256_hex
from audit.export import verify_export
from audit.heads import head_text
from audit.keys import load_or_create_key
from audit.verification import Verification
from tests.audit.conftest import Tamperer, fill
from tests.audit.test_many_writers import WRITER, start

VERIFIER = Path(__file__).parents[2] / "audit" / "standalone_verifier.py"
COLUMNS = "seq, time, actor, action, subject, details, previous_hash, hash, signature"


def holds(log: AuditLog, count: int) -> bool:
    whole = Verification(ok=True, checked=count)
    return log.verify() == whole == log.verify(every_signature=True)


def test_events_before_and_after_hold_and_the_old_key_is_gone(full_log: AuditLog) -> None:
    old = (full_log.path / "signing.key").read_bytes()
    event = full_log.rotate_key(actor="administrator")
    assert (event.action, event.actor, event.seq) == ("key.rotated", "administrator", 7)
    assert (full_log.path / "signing.key").read_bytes() != old
    assert not (full_log.path / "signing.key.next").exists()
    fill(full_log, 2)
    full_log.rotate_key(actor="administrator")
    fill(full_log, 2)
    assert holds(full_log, 12)


def test_the_old_key_writes_nothing_more(full_log: AuditLog) -> None:
    old = (full_log.path / "signing.key").read_bytes()
    full_log.rotate_key(actor="administrator")
    fill(full_log, 1)
    new = (full_log.path / "signing.key").read_bytes()
    (full_log.path / "signing.key").write_bytes(old)
    with pytest.raises(AuditError, match="not the one that signed the log's last record"):
        fill(full_log, 1)
    (full_log.path / "signing.key").write_bytes(new)
    fill(full_log, 1)
    assert holds(full_log, 9)


def test_a_record_that_the_old_key_signed_afterwards_is_found(full_log: AuditLog, tmp_path: Path) -> None:
    shutil.copytree(full_log.path, tmp_path / "stolen")
    full_log.rotate_key(actor="administrator")
    fill(full_log, 1)
    key = load_or_create_key(tmp_path / "stolen", full_log.witness, is_new=False)
    last = full_log.events()[-1]
    forged = AuditEvent(**{**last.to_json(), "seq": 9, "previous_hash": last.hash, "actor": "thief", "hash": ""})
    digest = sha256_hex(forged.text)
    values = (9, forged.time, "thief", forged.action, forged.subject, canonical(forged.details), last.hash, digest)
    signature = key.sign(head_text(9, digest).encode()).hex()
    quoted = ", ".join(f"'{value}'" for value in (*values, signature))
    Tamperer(full_log).run(f"INSERT INTO events ({COLUMNS}) VALUES ({quoted})")
    found = full_log.verify()
    assert (found.ok, found.first_bad) == (False, 9)
    assert "not signed" in (found.problem or "")


def test_handing_over_to_a_key_of_ones_own_needs_the_key_before(full_log: AuditLog) -> None:
    full_log.rotate_key(actor="administrator")
    fill(full_log, 1)
    own = canonical({"public_key": "ab" * 32, "fingerprint": "x"})
    Tamperer(full_log).run(f"UPDATE events SET details = '{own}' WHERE seq = 7")
    assert full_log.verify().first_bad == 7
    Tamperer(full_log).run("UPDATE events SET details = '{}' WHERE seq = 7")
    assert full_log.verify().first_bad == 7


@pytest.mark.parametrize("name", ["record.jsonl", "record.html"])
def test_an_export_is_verified_over_the_change_by_ours_and_without_us(
    full_log: AuditLog, tmp_path: Path, name: str
) -> None:
    root = full_log.witness.public_key()
    assert root
    full_log.rotate_key(actor="administrator")
    fill(full_log, 1)
    export = full_log.export(tmp_path / name)
    assert verify_export(export, public=root).result == Verification(ok=True, checked=8)
    command = [sys.executable, "-I", str(VERIFIER), str(export), root.hex()]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def test_a_rotation_killed_after_its_event_is_ended_by_the_next_append(
    full_log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(audit.log, "take_over", lambda *_: None)
        full_log.rotate_key(actor="administrator")
    assert (full_log.path / "signing.key.next").exists()
    assert full_log.export(full_log.path / "copy.jsonl").exists()
    assert not (full_log.path / "signing.key.next").exists()
    fill(full_log, 1)
    assert holds(full_log, 8)


def test_a_rotation_killed_before_its_event_changes_nothing_and_is_taken_up(
    full_log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            full_log.rotate_key(actor="administrator")
    waiting = (full_log.path / "signing.key.next").read_bytes()
    fill(full_log, 1)
    full_log.rotate_key(actor="administrator")
    assert (full_log.path / "signing.key").read_bytes() == waiting
    fill(full_log, 1)
    assert holds(full_log, 9)


def test_writers_go_on_while_keys_change(log: AuditLog) -> None:
    fill(log, 1)
    writers = [start(WRITER, str(log.path), f"writer-{index}", "15") for index in range(3)]
    for _ in range(4):
        log.rotate_key(actor="administrator")
    assert [writer.wait(timeout=120) for writer in writers if writer.communicate()] == [0, 0, 0]
    assert holds(log, 1 + 45 + 4)


def test_the_key_of_a_mounted_secret_is_changed_by_whoever_manages_it(full_log: AuditLog, tmp_path: Path) -> None:
    following = tmp_path / "new.key"
    following.write_text(secrets.token_hex(32) + "\n")
    full_log.rotate_key(actor="administrator", following=following)
    with pytest.raises(AuditError, match="put that key back"):
        fill(full_log, 1)
    shutil.copy(following, full_log.path / "signing.key")
    fill(full_log, 1)
    assert holds(full_log, 8)
    with pytest.raises(AuditError, match=r"no key in absent\.key"):
        full_log.rotate_key(actor="administrator", following=tmp_path / "absent.key")


def test_a_foreign_witness_is_told_though_keys_may_change(full_log: AuditLog, tmp_path: Path) -> None:
    other = AuditLog(tmp_path / "other")
    fill(other, 1)
    mixed = AuditLog(full_log.path, witness=tmp_path / "other-witness")
    with pytest.raises(AuditError, match="another key"):
        fill(mixed, 1)
