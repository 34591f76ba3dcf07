import builtins
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from audit import AuditLog
from imaging.errors import ConfigurationError, NotFoundError, ServiceError
from pipelines.run_record import find_run, list_runs
from pipelines.runner import run_local, run_pipeline
from tests.pipelines.tiny import tiny

ROOT = Path(__file__).parents[2]


class Diary:
    """Which steps ran, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


def states(result) -> dict[str, str]:
    return {step.name: "reused" if step.cached else step.state for step in result.steps}


def test_a_run_keeps_outputs_logs_and_its_record(home: Path, diary: Diary) -> None:
    seen = []
    result = run_pipeline(tiny, {"text": "lung", "diary": str(diary)}, home=home, on_step=seen.append)

    assert result.passed
    assert diary.read() == ["write", "check", "tell"]
    assert result.outputs["tell-length"]["Output"] == "4 letters"
    assert (result.artifact("write-words", "words") / "words.txt").read_text() == "lung"
    assert "written to stdout" in (result.run_dir / "logs" / "write-words.log").read_text()
    assert [step.state for step in seen if step.name == "check-words"] == ["waiting", "running", "done"]
    assert find_run(home, result.run_dir.name) == result
    assert result.arguments == {"text": "lung", "diary": str(diary)}
    assert [event.action for event in AuditLog(home / "audit").events()] == ["run.started", "run.finished"]
    assert not (result.run_dir / "tmp").exists()


def test_a_rerun_reuses_finished_steps_except_those_that_must_run(home: Path, diary: Diary) -> None:
    run_pipeline(tiny, {"text": "lung", "diary": str(diary)}, home=home)
    again = run_pipeline(tiny, {"text": "lung", "diary": str(diary)}, home=home)
    other = run_pipeline(tiny, {"text": "heart", "diary": str(diary)}, home=home)

    assert states(again) == {"write-words": "reused", "check-words": "reused", "tell-length": "done"}
    assert states(other) == {"write-words": "done", "check-words": "done", "tell-length": "done"}
    assert other.outputs["tell-length"]["Output"] == "5 letters"


def test_outputs_that_were_changed_afterwards_are_made_again(home: Path, diary: Diary) -> None:
    first = run_pipeline(tiny, {"text": "lung", "diary": str(diary)}, home=home)
    (first.artifact("write-words", "words") / "words.txt").write_text("long")
    again = run_pipeline(tiny, {"text": "lung", "diary": str(diary)}, home=home)

    assert states(again)["write-words"] == "done"
    assert (again.artifact("write-words", "words") / "words.txt").read_text() == "lung"


def test_a_failing_step_gives_its_own_coded_error_at_once_and_stops_the_run(home: Path, diary: Diary) -> None:
    result = run_pipeline(tiny, {"text": "lung", "diary": str(diary), "forbidden": "lung"}, home=home)

    assert not result.passed
    assert states(result) == {"write-words": "done", "check-words": "failed", "tell-length": "skipped"}
    assert result.error == "[gate_failed] expected no 'lung', got one"
    assert diary.read() == ["write", "check"]


def test_a_step_that_takes_too_long_is_ended(home: Path, diary: Diary) -> None:
    result = run_pipeline(tiny, {"text": "lung", "diary": str(diary), "sleep_s": 60.0}, home=home, timeout_s=3.0)

    assert states(result)["check-words"] == "failed"
    assert result.error.startswith("[step_timeout] took longer than its limit of")


def test_nothing_of_a_run_reaches_stdout_and_what_kfp_changes_is_put_back(
    home: Path, diary: Diary, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (builtins.print, sys.stdout, logging.root.handlers[:], logging.root.level, dict(os.environ))
    run_pipeline(tiny, {"text": "lung", "diary": str(diary)}, home=home)

    assert (builtins.print, sys.stdout, logging.root.handlers[:], logging.root.level, dict(os.environ)) == before
    assert capfd.readouterr() == ("", "")


def test_a_killed_run_leaves_no_process_and_no_half_step_to_reuse(home: Path, diary: Diary) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from tests.pipelines.tiny import tiny; from pipelines.runner import run_pipeline;"
        "run_pipeline(tiny, {'text': 'lung', 'diary': sys.argv[1], 'sleep_s': 3.5}, home=Path(sys.argv[2]))"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(diary), str(home)], cwd=ROOT) as run:
        deadline = time.monotonic() + 60
        while diary.read() != ["write", "check"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        steps = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(steps, timeout=10)
    killed = list_runs(home)[0]
    again = run_pipeline(tiny, {"text": "lung", "diary": str(diary), "sleep_s": 3.5}, home=home)

    assert steps
    assert alive == []
    assert killed.ended
    assert not killed.passed
    assert killed.error.startswith("[interrupted]")
    assert states(again) == {"write-words": "reused", "check-words": "done", "tell-length": "done"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "a"}, "'diary'"),
        ({"text": "a", "diary": "b", "speed": 1}, "'speed'"),
        ({"text": "a", "diary": "b", "options": {"x": [None]}}, "'options.x.0'"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_starts(home: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run_pipeline(tiny, arguments, home=home)
    assert list_runs(home) == []


def test_an_unknown_pipeline_is_refused_with_those_there_are(home: Path) -> None:
    with pytest.raises(NotFoundError, match="train-classifier"):
        run_local("train", {}, home=home)


def test_without_a_registry_a_training_does_not_start(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="thorax up"):
        run_local("train-classifier", {"source": str(tmp_path), "recipe": "mobilenetv2_smoke"}, home=home)
    assert list_runs(home) == []


def test_a_source_that_is_not_there_does_not_start(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="folder of images"):
        run_local("train-classifier", {"source": str(tmp_path / "none"), "recipe": "mobilenetv2_smoke"}, home=home)


def test_a_run_that_is_not_kept_is_refused_with_the_last_ones(home: Path) -> None:
    with pytest.raises(NotFoundError, match="the last are: none"):
        find_run(home, "tiny-1")
