"""Proofs that a request is in the log as the audit record vouches for it."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import AuditLog
from audit.predictions import PredictionSpool
from imaging.errors import DataError, NotFoundError
from monitoring.merkle import audit_path, merkle_root, root_by_path
from monitoring.prediction_log import collect
from monitoring.proof import check_proof, prove, read_proof


@pytest.fixture
def log(tmp_path) -> AuditLog:
    """The record, with a batch of 23 requests of two days and two versions."""
    log = AuditLog(tmp_path / "audit")
    spool = PredictionSpool(tmp_path / "spool")
    for number in range(23):
        spool.append(row(number))
    spool.close()
    collect(tmp_path / "spool", tmp_path / "parquet", log=log)
    return log


def row(number: int) -> dict:
    return {
        "time": f"2026-11-{20 + number % 2}T10:00:{number:02d}.000+00:00",
        "request_id": f"r{number}",
        "model_version": str(1 + number % 3 // 2),
        "model_digest": "sha256:m",
        "stage": "champion",
        "image_sha256": f"i{number}",
        "rows": 512,
        "latency_ms": 20.25 + number,
        "scores": {"normal": 0.1 * number / 23, "covid": 1 - 0.1 * number / 23},
        "reasons": ["low_confidence"] if number % 2 else [],
        "refusal_code": None,
    }


def test_every_request_of_a_batch_is_proved_and_its_proof_holds(tmp_path, log):
    for number in range(23):
        [proof] = prove(tmp_path / "parquet", log, f"r{number}")
        event = check_proof(json.loads(json.dumps(proof)), log)
        assert event.details["rows"] == 23
        assert proof["row"]["scores"] == row(number)["scores"]
        assert proof["row"]["latency_ms"] == row(number)["latency_ms"]
        assert "r" + str((number + 1) % 23) not in json.dumps(proof["row"])


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: proof["row"].update(prediction="covid"),
        lambda proof: proof["row"]["scores"].update(normal=0.9),
        lambda proof: proof["row"].update(request_id="r2"),
        lambda proof: proof["path"].pop(),
        lambda proof: proof["path"].append(["left", "00" * 32]),
        lambda proof: proof["path"].__setitem__(0, ["left" if proof["path"][0][0] == "right" else "right", "00" * 32]),
        lambda proof: proof["event"].update(seq=2),
        lambda proof: proof["event"].update(hash="0" * 64),
        lambda proof: proof["event"].update(subject="predictions/another"),
        lambda proof: proof.update(format="another"),
        lambda proof: proof.update(path="r"),
        lambda proof: proof.update(path=[["up", "00"]]),
        lambda proof: proof.update(path=[["left", "no hex"]]),
        lambda proof: proof.update(row=[]),
        lambda proof: proof.pop("event"),
    ],
)
def test_a_proof_that_was_changed_anywhere_does_not_hold(tmp_path, log, change):
    [proof] = prove(tmp_path / "parquet", log, "r7")
    change(proof)
    with pytest.raises(DataError):
        check_proof(proof, log)


def test_a_log_whose_files_were_changed_proves_nothing(tmp_path, log):
    files = sorted((tmp_path / "parquet").glob("date=*/*/*.parquet"))
    files[0].unlink()
    other = json.loads(json.dumps(row(1)))["request_id"]
    with pytest.raises((DataError, NotFoundError)):
        [prove(tmp_path / "parquet", log, f"r{number}") for number in range(23)]
    assert other == "r1"


def test_a_request_that_was_never_logged_is_not_proved(tmp_path, log):
    with pytest.raises(NotFoundError, match="collect"):
        prove(tmp_path / "parquet", log, "never")


def test_a_batch_of_before_proofs_is_told(tmp_path, log, monkeypatch):
    monkeypatch.setattr("monitoring.proof.LEAVES", "another way")
    with pytest.raises(NotFoundError, match="no event of batch"):
        prove(tmp_path / "parquet", log, "r1")


def test_another_record_vouches_for_nothing(tmp_path, log):
    [proof] = prove(tmp_path / "parquet", log, "r7")
    with pytest.raises(DataError, match="no event"):
        check_proof(proof, AuditLog(tmp_path / "another"))


def test_an_answer_of_two_versions_has_two_proofs(tmp_path):
    log, spool = AuditLog(tmp_path / "audit"), PredictionSpool(tmp_path / "spool")
    spool.append(row(1))
    spool.append(row(1) | {"model_digest": "sha256:shadow", "stage": "shadow", "model_version": "9"})
    spool.close()
    collect(tmp_path / "spool", tmp_path / "parquet", log=log)
    stages = [proof["row"]["stage"] for proof in prove(tmp_path / "parquet", log, "r1")]
    assert sorted(stages) == ["champion", "shadow"]


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_file_that_is_no_proof_is_told(tmp_path, content):
    (tmp_path / "proof.json").write_text(content)
    with pytest.raises(DataError, match="no proof"):
        read_proof(tmp_path / "proof.json")


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_every_path_leads_from_its_leaf_to_the_root_and_from_no_other(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = audit_path(leaves, index)
    assert root_by_path(leaves[index], path) == merkle_root(leaves)
    assert root_by_path(copy.copy(leaves[index]) + b"x", path) != merkle_root(leaves)
    assert len(path) <= max(1, (len(leaves) - 1).bit_length())
