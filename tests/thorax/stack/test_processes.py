import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from thorax.stack import processes
from thorax.stack.processes import ProcessRecord

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
PROGRAM = "import subprocess as s, sys, time; s.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])"
PARENT = [sys.executable, "-S", "-c", f"{PROGRAM}; time.sleep(60)"]


@pytest.fixture
def marker() -> Iterator[str]:
    """A stack of this test's own; whatever carries its mark is ended afterwards."""
    name = f"test-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    processes.end((process for _server, process in processes.marked(name)), grace_s=1)


def started(command: list[str], marker: str, folder: Path, server: str = "one") -> psutil.Process:
    environment = {**os.environ, processes.STACK_MARKER: marker, processes.SERVER_MARKER: server}
    return processes.start(command, environment=environment, log=folder / "logs" / "one.log", folder=folder)


def test_a_recorded_process_is_found_again(marker, tmp_path):
    process = started(SLEEP, marker, tmp_path)
    path = tmp_path / "one.json"
    processes.record_of(process, SLEEP, "digest").save(path)
    record = ProcessRecord.load(path)
    assert record is not None
    assert record.process() == process


def test_a_process_that_ended_is_not_found(marker, tmp_path):
    process = started(SLEEP, marker, tmp_path)
    record = processes.record_of(process, SLEEP, "digest")
    processes.end([process], grace_s=5)
    assert record.process() is None


@pytest.mark.parametrize("change", [{"create_time": 1.0}, {"command": ["something", "else"]}])
def test_a_number_that_belongs_to_another_process_now_is_not_ours(change):
    me = psutil.Process()
    mine = {"pid": me.pid, "create_time": me.create_time(), "command": me.cmdline(), "digest": ""}
    assert ProcessRecord(**mine).process() == me
    assert ProcessRecord(**{**mine, **change}).process() is None


@pytest.mark.parametrize("left", ["", "{", '{"pid": 1}', "[1]", '{"pid": 1, "unknown": 2}'])
def test_a_torn_record_is_no_record(tmp_path, left):
    (tmp_path / "one.json").write_text(left, encoding="utf-8")
    assert ProcessRecord.load(tmp_path / "one.json") is None


def test_a_server_runs_in_a_session_of_its_own(marker, tmp_path):
    process = started(SLEEP, marker, tmp_path)
    assert os.getsid(process.pid) == process.pid


def test_the_children_of_a_killed_server_are_found_by_their_mark(marker, tmp_path):
    parent = started(PARENT, marker, tmp_path)
    deadline = time.monotonic() + 10
    while len(processes.family(parent)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait(5)
    orphans = processes.marked(marker)
    assert [server for server, _process in orphans] == ["one"]
    processes.end((process for _server, process in orphans), grace_s=2)
    assert processes.marked(marker) == []


def test_nobody_without_the_mark_is_found(tmp_path, marker):
    other = started(SLEEP, f"{marker}-other", tmp_path)
    try:
        assert processes.marked(marker) == []
    finally:
        processes.end([other], grace_s=1)


def test_who_looks_is_not_found_by_their_own_mark(monkeypatch, marker):
    monkeypatch.setenv(processes.STACK_MARKER, marker)
    assert os.getpid() not in {process.pid for _server, process in processes.marked(marker)}


def test_a_process_that_does_not_want_to_end_is_made_to(marker, tmp_path):
    stubborn = [
        sys.executable,
        "-S",
        "-c",
        "import signal,time;signal.signal(15,signal.SIG_IGN);print(1,flush=True);time.sleep(60)",
    ]
    process = started(stubborn, marker, tmp_path)
    log = tmp_path / "logs" / "one.log"
    deadline = time.monotonic() + 10
    while not log.read_text(encoding="utf-8") and time.monotonic() < deadline:
        time.sleep(0.02)
    processes.end([process], grace_s=0.2)
    assert not process.is_running()


def test_a_log_that_grew_large_is_set_aside_at_the_next_start(marker, tmp_path):
    log = tmp_path / "logs" / "one.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (processes.LARGEST_LOG + 1))
    started(SLEEP, marker, tmp_path)
    assert log.stat().st_size == 0
    assert (tmp_path / "logs" / "one.log.1").stat().st_size > processes.LARGEST_LOG


def test_another_setting_is_another_digest():
    assert processes.digest_of(["a"], {"X": "1"}, "") != processes.digest_of(["a"], {"X": "2"}, "")
    assert processes.digest_of(["a"], {"X": "1"}, "") == processes.digest_of(["a"], {"X": "1"}, "")
