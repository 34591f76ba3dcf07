"""TorchServe's access log as it was written by a real TorchServe 0.12 with our pattern, and what is taken from it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.predictions import read_spool
from monitoring.prediction_log import collect, read_log
from monitoring.rotated_log import Lines
from monitoring.turned_away import parse_access_log, take_turned_away

REAL = b"""\
2026-11-22T01:20:21.599Z epollEventLoopGroup-3-1 - /127.0.0.1:59956 "GET /models/chest-xray/all HTTP/1.1" 404 11
2026-11-22T01:20:28.177Z W-9000-chest-xray_1 - /127.0.0.1:41002 "POST /predictions/chest-xray HTTP/1.1" 200 38
2026-11-22T01:20:28.215Z W-9000-chest-xray_1 - /127.0.0.1:41012 "POST /predictions/chest-xray HTTP/1.1" 400 10
2026-11-22T01:20:28.259Z W-9000-chest-xray_1 - /127.0.0.1:41022 "POST /predictions/chest-xray HTTP/1.1" 415 9
2026-11-22T01:20:28.297Z epollEventLoopGroup-3-2 - /127.0.0.1:41036 "POST /predictions/chest-xray HTTP/1.1" 400 0
2026-11-22T01:20:28.336Z epollEventLoopGroup-3-3 - /127.0.0.1:41050 "POST /predictions/chest-xray HTTP/1.1" 400 0
2026-11-22T01:20:28.436Z epollEventLoopGroup-3-1 - /127.0.0.1:41070 "POST /predictions/other HTTP/1.1" 404 0
2026-11-22T01:20:28.475Z epollEventLoopGroup-3-2 - /127.0.0.1:41078 "POST /predictions/chest-xray/9 HTTP/1.1" 404 1
2026-11-22T01:20:28.512Z epollEventLoopGroup-3-3 - /127.0.0.1:41082 "POST /invocations?model_name=chest-xray HTTP/1.1" 400 0
2026-11-22T01:20:28.556Z W-9000-chest-xray_1 - /127.0.0.1:41096 "POST /invocations?model_name=chest-xray&request_id=abc HTTP/1.1" 415 10
2026-11-22T01:20:28.712Z epollEventLoopGroup-3-3 - /127.0.0.1:41122 "POST /explanations/chest-xray HTTP/1.1" 400 0
2026-11-22T01:20:28.750Z epollEventLoopGroup-3-4 - /127.0.0.1:41136 "POST /predictions/chest-xray?patient=Doe%20Jane HTTP/1.1" 400 0
2026-11-22T01:20:28.819Z epollEventLoopGroup-3-2 - /127.0.0.1:41158 "OPTIONS /predictions/chest-xray HTTP/1.1" 400 1
2026-11-22T01:20:28.941Z epollEventLoopGroup-3-1 - /127.0.0.1:41180 "GET /ping HTTP/1.1" 400 1
2026-11-22T01:20:29.006Z epollEventLoopGroup-3-2 - /127.0.0.1:49498 "GET /models HTTP/1.1" 400 0
2026-11-22T01:20:33.229Z W-9000-chest-xray_1 - /127.0.0.1:42482 "POST /predictions/chest-xray HTTP/1.1" 507 91
2026-11-22T01:28:11.837Z epollEventLoopGroup-3-1 - /127.0.0.1:36806 "POST /predictions/chest-xray HTTP/1.1" 503 1
"""  # noqa: E501
CODES = [*["torchserve_400"] * 2, "torchserve_404", *["torchserve_400"] * 3, "torchserve_507", "torchserve_503"]
LATER = REAL.replace(b"2026-11-22", b"2026-11-23")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    place = tmp_path / "logs"
    place.mkdir()
    (place / "access_log.log").write_bytes(REAL)
    return place


def take(logs: Path) -> int:
    return take_turned_away(logs, logs.parent / "spool", logs.parent / "position.json")


def taken(logs: Path) -> list[str]:
    return [row["refusal_code"] for row in read_spool(logs.parent / "spool")]


def test_only_what_the_handler_cannot_have_logged_is_taken() -> None:
    assert [row["refusal_code"] for row in parse_access_log(Lines(data=REAL, head="", begin=0))] == CODES


def test_nothing_of_the_client_is_kept() -> None:
    rows = list(parse_access_log(Lines(data=REAL, head="", begin=0)))
    text = json.dumps(rows)
    assert not any(word in text for word in ("127.0.0.1", "Doe", "patient", "41136"))
    assert len({row["request_id"] for row in rows}) == len(rows)
    assert datetime.fromisoformat(rows[0]["time"]) == datetime(2026, 11, 22, 1, 20, 28, 297000, tzinfo=UTC)


@given(st.binary(max_size=200))
def test_no_line_is_too_strange_to_read(noise: bytes) -> None:
    rows = list(parse_access_log(Lines(data=noise + b"\n" + REAL, head="", begin=0)))
    assert [row["refusal_code"] for row in rows][-len(CODES) :] == CODES


def test_a_client_cannot_write_a_line_of_its_own() -> None:
    line = b'2026-11-22T01:20:28.297Z epollEventLoopGroup-3-2 - /127.0.0.1:41036 "POST /predictions/chest-xray" 200 1 HTTP/1.1" 400 0\n'  # noqa: E501
    assert list(parse_access_log(Lines(data=line, head="", begin=0))) == []


def test_the_lines_of_an_older_pattern_are_passed_over() -> None:
    old = b'2026-11-21 10:00:00,123 - /127.0.0.1:41036 "POST /predictions/chest-xray HTTP/1.1" 400 0\n'
    assert list(parse_access_log(Lines(data=old, head="", begin=0))) == []


def test_two_requests_of_one_moment_are_two(logs: Path) -> None:
    behind_the_edge = (
        b'2026-11-23T01:20:28.297Z epollEventLoopGroup-3-2 - 127.0.0.1 "POST /predictions/chest-xray HTTP/1.1" 400 0\n'
    )
    (logs / "access_log.log").write_bytes(behind_the_edge * 2)
    for _ in range(2):
        collect(logs.parent / "spool", logs.parent / "parquet", access_logs=logs)
    assert len(read_log(logs.parent / "parquet")) == 2


def test_each_line_is_taken_once_and_new_ones_later(logs: Path) -> None:
    assert take(logs) == len(CODES)
    assert take(logs) == 0
    with (logs / "access_log.log").open("ab") as file:
        file.write(LATER)
    assert take(logs) == len(CODES)
    assert taken(logs) == CODES * 2


def test_a_torn_last_line_waits_for_its_end(logs: Path) -> None:
    whole = LATER.splitlines(keepends=True)[4]
    with (logs / "access_log.log").open("ab") as file:
        file.write(whole[:-30])
    assert take(logs) == len(CODES)
    with (logs / "access_log.log").open("ab") as file:
        file.write(whole[-30:])
    assert take(logs) == 1


def test_a_rotated_log_is_read_to_its_end_and_then_its_successors(logs: Path) -> None:
    take(logs)
    with (logs / "access_log.log").open("ab") as file:
        file.write(LATER)
    (logs / "access_log.log").rename(logs / "access_log.1.log")
    (logs / "access_log.2.log").write_bytes(REAL.replace(b"2026-11-22", b"2026-11-24"))
    (logs / "access_log.log").write_bytes(REAL.replace(b"2026-11-22", b"2026-11-25"))
    assert take(logs) == 3 * len(CODES)
    assert take(logs) == 0
    (logs / "access_log.1.log").unlink()
    (logs / "access_log.2.log").rename(logs / "access_log.1.log")
    assert take(logs) == 0


@pytest.mark.parametrize("lost", ["position", "nothing"])
def test_a_kill_before_the_position_is_kept_logs_no_request_twice(logs: Path, lost: str) -> None:
    parquet = logs.parent / "parquet"
    for _ in range(3):
        collect(logs.parent / "spool", parquet, access_logs=logs)
        if lost == "position":
            (parquet / "access_log.json").unlink()
    assert sorted(row["refusal_code"] for row in read_log(parquet)) == sorted(CODES)


def test_what_was_turned_away_is_of_no_model(logs: Path) -> None:
    parquet = logs.parent / "parquet"
    collect(logs.parent / "spool", parquet, access_logs=logs)
    assert {row["model_digest"] for row in read_log(parquet)} == {None}
    assert read_log(parquet, model_digest="sha256:a") == []


def test_a_spool_that_takes_nothing_leaves_the_lines_for_later(logs: Path) -> None:
    from imaging.errors import ServiceError

    blocked = logs.parent / "spool"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(ServiceError, match="spool"):
        take(logs)
    blocked.unlink()
    assert take(logs) == len(CODES)


def test_a_home_without_an_access_log_has_nothing_to_take(tmp_path: Path) -> None:
    assert take(tmp_path / "logs") == 0
