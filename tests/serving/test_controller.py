"""The loop around the release step."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time

from audit import AuditLog
from imaging.settings import Settings
from serving import controller as loop
from serving.controller import LONGEST_PAUSE_S, PERIOD_S, Controller, JsonLines, pause_s
from tests.serving.notification.receivers import web_receiver


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


def test_people_are_told_beside_the_releases(home, monkeypatch):
    monkeypatch.setattr(loop, "NOTIFY_EVERY_S", 0.02)
    home.mkdir(exist_ok=True)
    stop, log = threading.Event(), AuditLog(home / "audit")
    with web_receiver() as web:
        channels = home / "notifications.json"
        channels.touch(mode=0o600)
        channels.write_text(json.dumps([{"kind": "webhook", "name": "pager", "url": web.url}]))
        settings = Settings(home=home, mlflow_uri="http://registry")
        telling = threading.Thread(target=loop.keep_notifying, args=(settings, stop))
        telling.start()
        deadline = time.monotonic() + 20
        while not (home / "notifications" / "pager.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        log.append("model.registered", actor="trainer", subject="chest-xray/7", details={"trigger": "manual"})
        while not web.taken and time.monotonic() < deadline:
            time.sleep(0.02)
        stop.set()
        telling.join()
    assert "http://registry/#/models/chest-xray" in web.taken[0]["text"]


def test_a_file_of_channels_that_is_not_sound_is_told_once_and_stops_nothing(home, monkeypatch, caplog):
    monkeypatch.setattr(loop, "NOTIFY_EVERY_S", 0.02)
    home.mkdir(exist_ok=True)
    (home / "notifications.json").touch(mode=0o644)
    stop = threading.Event()
    telling = threading.Thread(target=loop.keep_notifying, args=(Settings(home=home), stop))
    telling.start()
    time.sleep(0.3)
    stop.set()
    telling.join()
    told = [record for record in caplog.records if record.getMessage() == "notification.failed"]
    assert len(told) == 1
    assert "chmod 600" in told[0].fields["reason"]
