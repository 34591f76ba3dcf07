import json
from pathlib import Path

import pytest

from audit import AuditLog
from audit.errors import DamagedLogError
from audit.export import verify_export
from audit.keys import load_public_key
from tests.audit.conftest import Tamperer, fill


@pytest.fixture(params=["record.jsonl", "record.html"])
def export(request: pytest.FixtureRequest, full_log: AuditLog, tmp_path: Path) -> Path:
    full_log.append("config.changed", actor="é", subject="</script><b>", details={"x": 1e-7, "text": "a\u2028b\x85"})
    return full_log.export(tmp_path / request.param)


def test_an_export_holds_by_itself_and_under_the_logs_key(full_log: AuditLog, export: Path) -> None:
    found = verify_export(export, public=load_public_key(full_log.witness.public_key_path))
    assert found.result.ok, found.result.problem
    assert found.result.checked == 7


def test_an_edited_export_names_the_record(export: Path) -> None:
    export.write_text(export.read_text().replace("run/3", "run/4"))
    found = verify_export(export).result
    assert (found.ok, found.first_bad) == (False, 4)


@pytest.mark.parametrize(("cut", "named"), [((3, 4), 3), ((6, 8), 6), ((7, 9), 7), ((8, 9), 8)])
def test_lines_taken_from_an_export_are_missed(full_log: AuditLog, tmp_path: Path, cut: tuple, named: int) -> None:
    fill(full_log, 1)
    path = full_log.export(tmp_path / "record.jsonl")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: cut[0]] + lines[cut[1] :]))
    found = verify_export(path).result
    assert (found.ok, found.first_bad) == (False, named)


def test_an_export_of_a_cut_log_does_not_hold(full_log: AuditLog, tmp_path: Path) -> None:
    Tamperer(full_log).run("DELETE FROM events WHERE seq > 4")
    found = verify_export(full_log.export(tmp_path / "record.jsonl")).result
    assert (found.ok, found.first_bad) == (False, 5)


def test_an_export_of_another_log_is_told_apart_by_its_key(full_log: AuditLog, tmp_path: Path) -> None:
    other = AuditLog(tmp_path / "other")
    fill(other, 2)
    path = other.export(tmp_path / "other.jsonl")
    assert verify_export(path).result.ok
    assert not verify_export(path, public=load_public_key(full_log.witness.public_key_path)).result.ok


@pytest.mark.parametrize("text", ["", "{}", "[1]", "words"])
def test_a_file_that_is_no_export_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(DamagedLogError):
        verify_export(path)


def test_hashes_and_links_can_be_checked_with_nothing_but_sha256(full_log: AuditLog, tmp_path: Path) -> None:
    import hashlib

    header, *records, end = map(json.loads, full_log.export(tmp_path / "x.jsonl").read_text().splitlines())
    previous = hashlib.sha256(f"thorax-audit-1:{header['public_key']}".encode()).hexdigest()
    for line in records:
        assert hashlib.sha256(line["text"].encode()).hexdigest() == line["hash"]
        assert json.loads(line["text"])["previous_hash"] == previous
        previous = line["hash"]
    assert end["end"] == {"records": 6, "head": previous, "witnessed": {"seq": 6, "hash": previous}}
