"""The loop around the release step."""

import json
import logging
import signal
import subprocess
import sys
import threading

from imaging.settings import Settings
from serving.controller import LONGEST_PAUSE_S, PERIOD_S, Controller, JsonLines, pause_s


def test_pauses_grow_while_something_fails_and_are_bounded():
    pauses = [pause_s(failures) for failures in range(20)]
    assert pauses[0] == PERIOD_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_failure_is_told_once_and_does_not_end_the_loop(home, caplog):
    controller = Controller(Settings(), threading.Event())
    with caplog.at_level(logging.INFO, "thorax.controller"):
        assert controller.step() is False
        assert controller.step() is False
    assert [record.getMessage() for record in caplog.records] == ["release.failed"]


def test_a_line_of_the_log_is_one_json_object():
    record = logging.LogRecord("thorax.controller", logging.INFO, "", 0, "release.refused", None, None)
    record.fields = {"reason": "two\nlines"}
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["reason"] == "two\nlines"


def test_sigterm_ends_it_cleanly(home):
    process = subprocess.Popen([sys.executable, "-m", "serving.controller"], stderr=subprocess.PIPE, text=True)
    first = json.loads(process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=60)[1].splitlines()
    assert first["event"] == "controller.started"
    assert json.loads(rest[-1])["event"] == "controller.stopped"
    assert process.returncode == 0
