import os
import sys
from pathlib import Path

import pytest

from pipelines.step_process import StepEnd, explain_failure, raised, run_step

CHAINED = """[KFP Executor INFO]: started
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    int("x")
ValueError: invalid literal

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 2, in <module>
    raise NotFoundError("no recipe 'x'; there are: a, b") from error
imaging.errors.NotFoundError: no recipe 'x'; there are: a, b
"""


def test_the_last_error_is_told_with_its_code() -> None:
    assert raised(CHAINED) == "[not_found] no recipe 'x'; there are: a, b"


def test_an_error_of_many_lines_is_told_whole() -> None:
    text = "Traceback (most recent call last):\n  x\npydantic.ValidationError: 1 error\nlr\n  too small\n"
    assert raised(text) == "[step_failed] pydantic.ValidationError: 1 error\nlr\n  too small"


@pytest.mark.parametrize("text", ["", "all is well\n", "Traceback (most recent call last):\n  cut off"])
def test_a_log_without_an_error_tells_none(text: str) -> None:
    assert raised(text) == ""


def test_an_error_class_that_is_not_there_has_no_code() -> None:
    assert (
        raised("Traceback (most recent call last):\nimaging.errors.Gone: x\n") == "[step_failed] imaging.errors.Gone: x"
    )


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (StepEnd(status=1, timed_out=True), "[step_timeout] took longer than its limit of 5 s"),
        (StepEnd(status=-9), "[step_killed] ended by SIGKILL; was there enough memory?"),
        (StepEnd(status=143), "[step_killed] ended by SIGTERM"),
        (StepEnd(status=3), "[step_failed] ended with status 3; see"),
    ],
)
def test_an_end_without_an_error_is_explained(end: StepEnd, message: str, tmp_path: Path) -> None:
    assert explain_failure(end, tmp_path / "log", timeout_s=5.0).startswith(message)


def test_a_step_runs_with_its_environment_and_all_it_says_is_in_its_log(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['WORD']); sys.stderr.write('aside'); sys.exit(7)"
    environment = {**os.environ, "WORD": "lung"}
    end = run_step([sys.executable, "-c", code], log=tmp_path / "logs" / "a.log", environment=environment, timeout_s=30)

    assert end == StepEnd(status=7)
    assert sorted((tmp_path / "logs" / "a.log").read_text().split()) == ["aside", "lung"]


def test_a_step_out_of_time_is_ended_even_if_it_will_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.step_process._GRACE_S", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    end = run_step([sys.executable, "-c", code], log=tmp_path / "log", environment=dict(os.environ), timeout_s=1.0)

    assert end.timed_out
    assert end.status < 0
