import json

import pytest

from imaging.training.results import Progress
from tests.imaging.training.histories import history
from thorax.live_training import LiveTraining, TimeLeft


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def within(epoch: int, step: int, *, stage: str = "head", epochs: int = 10) -> Progress:
    return Progress(epoch=epoch, epochs=epochs, stage=stage, step=step, steps=4, loss=0.5, images_per_s=1234.5)


def test_the_time_left_of_a_first_epoch_is_told_by_its_own_steps() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    assert left.at(within(1, 1)) is None
    clock.now += 3.0
    assert left.at(within(1, 2)) == pytest.approx(12.0 * 9.5)


def test_the_time_left_of_later_epochs_is_told_by_the_stages_last_one() -> None:
    left = TimeLeft(Clock())
    left.note(history([1.0])[0])
    assert left.at(within(2, 2)) == pytest.approx(2.0 * 8.5)


def test_another_stage_tells_the_time_anew() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    left.note(history([1.0])[0])
    assert left.at(within(2, 1, stage="last-blocks")) is None
    clock.now += 5.0
    assert left.at(within(2, 2, stage="last-blocks")) == pytest.approx(20.0 * 8.5)


def test_an_epoch_is_a_line_for_people_and_nothing_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveTraining() as live:
        live.on_progress(within(1, 4))
        live.on_epoch(history([0.25])[0])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split()[:8] == ["epoch", "1/10", "head", "loss", "2.000,", "validation", "0.250", "accuracy"]
    assert "500 images/s" in err


def test_an_epoch_is_a_json_line_where_machines_ask(capsys: pytest.CaptureFixture[str]) -> None:
    result = history([0.25])[0]
    with LiveTraining(as_json=True, quiet=True) as live:
        live.on_epoch(result)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"event": "epoch", **result.model_dump()}
    assert err == ""


def test_epochs_of_a_process_before_count_as_done() -> None:
    with LiveTraining(quiet=True) as live:
        assert live.epochs_done == 0
        live.on_progress(within(5, 1))
        assert live.epochs_done == 4
        live.on_epoch(history([1.0] * 5)[4])
    assert live.epochs_done == 5
