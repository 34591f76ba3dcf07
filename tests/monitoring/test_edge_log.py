"""The edge's log as a real nginx 1.22 wrote it in front of a real TorchServe 0.12, and what is taken from it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.predictions import read_spool
from imaging.errors import ServiceError
from monitoring.edge_log import KEPT_DAYS, parse_edge_log, take_edge_refusals
from monitoring.prediction_log import collect, read_log

REAL = b"""\
{"time":1795335801.319,"id":"d57cad1d93a66931859ebdfb27194177","listener":"http","method":"POST","path":"/predictions/chest-xray","status":400,"bytes":185,"seconds":0.003,"upstream":"400","answered":"0.003","grpc":""}
{"time":1795335801.892,"id":"7c7be18b5c51d79aaa8f4c41ef454246","listener":"http","method":"POST","path":"/predictions/chest-xray","status":413,"bytes":235,"seconds":0.511,"upstream":"","answered":"","grpc":""}
{"time":1795335802.000,"id":"2d085aedd3fb5b0918363fd4b88f9ede","listener":"http","method":"POST","path":"/predictions/chest-xray","status":413,"bytes":73401344,"seconds":0.051,"upstream":"","answered":"","grpc":""}
{"time":1795335802.054,"id":"378ef6ff8c738c497d6729ce3824143a","listener":"http","method":"DELETE","path":"/predictions/chest-xray","status":405,"bytes":199,"seconds":0.000,"upstream":"","answered":"","grpc":""}
{"time":1795335802.121,"id":"3bab3ba00e3e53b9090e15e650d6910d","listener":"http","method":"OTHER","path":"/predictions/chest-xray","status":405,"bytes":198,"seconds":0.000,"upstream":"","answered":"","grpc":""}
{"time":1795335802.188,"id":"f391e8b82dbeec3b4479f7f887f4c8ba","listener":"http","method":"GET","path":"*","status":404,"bytes":180,"seconds":0.000,"upstream":"","answered":"","grpc":""}
{"time":1795335802.219,"id":"f46120729e0e34835b645b8e8426a53f","listener":"http","method":"GET","path":"/ping","status":200,"bytes":178,"seconds":0.002,"upstream":"200","answered":"0.002","grpc":""}
{"time":1795335802.939,"id":"5c07c1995e66e53dc5f5b7e052b46de2","listener":"http","method":"POST","path":"/predictions/chest-xray","status":404,"bytes":73400543,"seconds":0.600,"upstream":"404","answered":"0.425","grpc":""}
{"time":1795335803.126,"id":"4ec734ffd0726edaae8d7784fbceb620","listener":"grpc","method":"POST","path":"Predictions","status":200,"bytes":300,"seconds":0.008,"upstream":"200","answered":"0.009","grpc":"7"}
{"time":1795335803.131,"id":"536f04dbbe252047253ce3c50fcbcda9","listener":"grpc","method":"POST","path":"Predictions","status":200,"bytes":68,"seconds":0.004,"upstream":"200","answered":"0.003","grpc":"13"}
{"time":1795335803.335,"id":"14303dc61e74bb2afb7092c9190e554b","listener":"grpc","method":"POST","path":"Predictions","status":502,"bytes":1602502,"seconds":0.006,"upstream":"502","answered":"-","grpc":"14"}
{"time":1795335804.143,"id":"9d3eed2110c39bcbc74cac5a907d43cb","listener":"grpc","method":"POST","path":"*","status":404,"bytes":75,"seconds":0.000,"upstream":"","answered":"","grpc":"12"}
{"time":1795335804.146,"id":"a0c1b0acd00d197d1b1c3a530c8c0ccd","listener":"grpc","method":"POST","path":"Ping","status":200,"bytes":111,"seconds":0.002,"upstream":"200","answered":"0.003","grpc":"0"}
"""
CODES = ["edge_413", "edge_413", "edge_405", "edge_405", "grpc_permission_denied", "grpc_internal", "grpc_unavailable"]


def line(**changes) -> bytes:
    """One line of a request that TorchServe did not answer, with `changes`."""
    entry = {**json.loads(REAL.splitlines()[1]), **changes}
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def codes(data: bytes) -> list[str]:
    return [row["refusal_code"] for row in parse_edge_log(data)]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    place = tmp_path / "logs"
    place.mkdir()
    today(place).write_bytes(REAL)
    return place


def today(logs: Path, days_ago: int = 0) -> Path:
    return logs / f"requests-{(datetime.now(UTC) - timedelta(days=days_ago)).date()}.jsonl"


def take(logs: Path) -> int:
    return take_edge_refusals(logs, logs.parent / "spool", logs.parent / "position.json")


def test_only_what_no_handler_answered_is_taken():
    rows = list(parse_edge_log(REAL))
    assert [row["refusal_code"] for row in rows] == CODES
    assert rows[0]["request_id"] == "edge-7c7be18b5c51d79aaa8f4c41ef454246"
    assert datetime.fromisoformat(rows[0]["time"]) == datetime(2026, 11, 22, 8, 23, 21, 892000, tzinfo=UTC)
    assert rows[0]["latency_ms"] == 511.0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": 502, "upstream": "502", "answered": "-"}, ["edge_502"]),
        ({"status": 504, "upstream": "504", "answered": "-"}, ["edge_504"]),
        ({"status": 503, "upstream": "503", "answered": "0.001"}, []),
        ({"method": "OPTIONS", "status": 413}, []),
        ({"path": "/ping"}, []),
        ({"listener": "grpc", "path": "ModelInfer", "status": 499, "grpc": ""}, ["grpc_cancelled"]),
        ({"listener": "grpc", "path": "Predictions", "status": 200, "grpc": "16"}, ["grpc_unauthenticated"]),
        ({"listener": "grpc", "path": "Predictions", "status": 200, "grpc": "99"}, ["grpc_unknown"]),
        ({"listener": "grpc", "path": "Predictions", "status": 200, "grpc": ""}, ["grpc_unknown"]),
        ({"listener": "grpc", "path": "Predictions", "status": 200, "grpc": "0"}, []),
        ({"id": "../x"}, []),
        ({"time": "yesterday"}, []),
        ({"time": 1e30}, []),
        ({"status": None}, []),
    ],
)
def test_who_answered_is_told_by_upstream_and_grpc_status(changes, code):
    assert codes(line(**changes)) == code


@given(st.binary(max_size=200))
def test_no_line_is_too_strange_to_read(noise):
    assert codes(noise.replace(b'{"time":', b"") + b"\n" + REAL)[-len(CODES) :] == CODES


@given(st.integers(0, len(REAL)))
def test_a_log_cut_in_two_at_a_line_tells_what_the_whole_does(middle):
    cut = REAL.rfind(b"\n", 0, middle) + 1
    assert [*parse_edge_log(REAL[:cut]), *parse_edge_log(REAL[cut:])] == list(parse_edge_log(REAL))


def test_a_line_that_a_full_disk_cut_short_hides_not_the_next():
    assert codes(line()[:40] + line(id="f" * 32)) == ["edge_413"]


def test_each_line_is_taken_once_and_new_ones_later(logs):
    assert (take(logs), take(logs)) == (len(CODES), 0)
    with today(logs).open("ab") as file:
        file.write(line(id="e" * 32))
    assert take(logs) == 1
    assert len(list(read_spool(logs.parent / "spool"))) == len(CODES) + 1


def test_a_torn_last_line_waits_for_its_end(logs):
    whole = line(id="e" * 32)
    with today(logs).open("ab") as file:
        file.write(whole[:-30])
    assert take(logs) == len(CODES)
    with today(logs).open("ab") as file:
        file.write(whole[-30:])
    assert take(logs) == 1


def test_a_day_that_is_long_over_is_removed_once_it_was_read(logs):
    old, kept = today(logs, KEPT_DAYS + 1), today(logs, KEPT_DAYS)
    old.write_bytes(line(id="a" * 32) + b'{"time":17')
    kept.write_bytes(line(id="b" * 32))
    (logs / "notes.txt").write_text("mine")
    assert take(logs) == len(CODES) + 2
    assert old.exists()  # its last line is not read
    old.write_bytes(line(id="a" * 32))
    assert take(logs) == 0
    assert sorted(path.name for path in logs.iterdir()) == sorted(["notes.txt", kept.name, today(logs).name])


@pytest.mark.parametrize("left", [None, "", "[]", '{"offsets": {"a": "x"}}'])
def test_a_position_that_is_lost_logs_no_request_twice(logs, left):
    parquet = logs.parent / "parquet"
    for _ in range(2):
        collect(logs.parent / "spool", parquet, edge_logs=logs)
        state = parquet / "edge_log.json"
        state.unlink() if left is None else state.write_text(left)
    rows = read_log(parquet)
    assert sorted(row["refusal_code"] for row in rows) == sorted(CODES)
    assert {row["model_digest"] for row in rows} == {None}


def test_a_spool_that_takes_nothing_leaves_the_lines_for_later(logs):
    blocked = logs.parent / "spool"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(ServiceError, match="spool"):
        take(logs)
    blocked.unlink()
    assert take(logs) == len(CODES)


def test_a_stack_without_an_edge_has_nothing_to_take(tmp_path):
    assert take(tmp_path / "none") == 0
