"""TorchServe's log of refused gRPC calls, in the pattern of `log4j2.xml`, and what is taken from it."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from monitoring.grpc_log import parse_grpc_log
from monitoring.prediction_log import collect, read_log
from monitoring.rotated_log import Lines

REAL = b"""\
2026-11-27T13:38:12.203Z grpc-default-worker-ELG-3-2 - 0x4e83f1a7 55720 1 7
2026-11-27T13:38:12.222Z grpc-default-worker-ELG-3-1 - 0x93a6d1c8 55732 1 13
2026-11-27T13:38:12.231Z grpc-default-worker-ELG-3-2 - 0x29db2d5d 55736 1 12
2026-11-27T13:38:12.530Z grpc-default-worker-ELG-3-2 - 0x29db2d5d 55736 3 reset
2026-11-27T13:38:12.640Z grpc-default-worker-ELG-3-2 - 0x29db2d5d 55736 5 99
"""
CODES = ["grpc_permission_denied", "grpc_internal", "grpc_resource_exhausted", "grpc_unknown"]


def codes(data: bytes) -> list[str]:
    return [row["refusal_code"] for row in parse_grpc_log(Lines(data=data, head="", begin=0))]


def test_a_refused_call_is_a_row_and_one_for_what_there_is_not_is_none():
    assert codes(REAL) == CODES


@given(st.binary(max_size=200))
def test_no_line_is_too_strange_to_read(noise):
    assert codes(noise + b"\n" + REAL)[-len(CODES) :] == CODES


def test_calls_are_collected_once_whatever_is_read_again(tmp_path: Path):
    logs, parquet = tmp_path / "logs", tmp_path / "parquet"
    logs.mkdir()
    broken_off = b"2026-11-27T13:38:12.204Z grpc-default-worker-ELG-3-2 - 0x4e83f1a7 55720 1 reset\n"
    (logs / "grpc_log.log").write_bytes(REAL + broken_off)
    for _ in range(2):
        collect(tmp_path / "spool", parquet, access_logs=logs)
        (parquet / "grpc_log.json").unlink()
    rows = read_log(parquet)
    assert [row["refusal_code"] for row in rows] == CODES
    assert {row["model_digest"] for row in rows} == {None}
    assert "55720" not in json.dumps(rows)
