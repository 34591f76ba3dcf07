"""Loops on this machine: every iteration a step of its own, in order, reused alone, and an end soon after a failure."""

import json
from pathlib import Path

from pipelines.run_record import StepResult, load_run, placed
from pipelines.runner import run_pipeline
from tests.pipelines.looped import looped


def run(home: Path, count: int, **more):
    return run_pipeline(looped, {"count": count, "diary": str(home.parent / "diary"), **more}, home=home)


def test_every_iteration_is_a_step_with_its_own_outputs_and_log(home: Path) -> None:
    seen: list[str] = []
    given = {"count": 5, "diary": str(home.parent / "diary")}
    result = run_pipeline(looped, given, home=home, on_step=lambda step: seen.append(step.name))
    squares = [result.artifact(f"square-item/{number}", "square") for number in range(5)]

    assert result.passed
    assert result.outputs["add-squares"]["Output"] == "0 1 4 9 16 of 5"
    assert result.steps[0].name == "count-items"
    assert result.steps[-1].name == "add-squares"
    assert {step.name for step in result.steps[1:-1]} == {f"square-item/{number}" for number in range(5)}
    assert [path.read_text() for path in squares] == ["0", "1", "4", "9", "16"]
    assert all((result.run_dir / "logs" / "square-item" / f"{number}.log").is_file() for number in range(5))
    assert seen[:3] == ["count-items", "square-item", "add-squares"]
    assert load_run(result.run_dir) == result


def test_a_longer_loop_runs_only_its_new_iterations(home: Path) -> None:
    run(home, 2)
    again = run(home, 4)
    assert {step.name for step in again.steps if step.cached} == {"square-item/0", "square-item/1"}
    assert again.outputs["add-squares"]["Output"] == "0 1 4 9 of 4"


def test_after_a_failed_iteration_no_other_begins(home: Path) -> None:
    result = run(home, 12, unlucky=0)
    ran = (home.parent / "diary").read_text().split()
    states = {step.name: step.state for step in result.steps}

    assert not result.passed
    assert result.error == "[gate_failed] expected another item than 0"
    assert states["square-item/0"] == "failed"
    assert states["add-squares"] == "skipped"
    assert len(ran) < 12
    assert json.loads((result.run_dir / "run.json").read_text())["ended"] is True


def test_the_first_iteration_takes_its_loops_place_and_the_next_stand_beside_it() -> None:
    steps = tuple(StepResult(name=name) for name in ("a", "b", "c"))
    for number in (1, 0):
        steps = placed(steps, StepResult(name=f"b/{number}", state="running"))
    steps = placed(steps, StepResult(name="b/1", state="done"))
    assert [(step.name, step.state) for step in steps] == [
        ("a", "waiting"),
        ("b/1", "done"),
        ("b/0", "running"),
        ("c", "waiting"),
    ]
