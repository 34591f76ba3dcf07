"""The memory of a search: what a kill leaves, who may write, what is proposed after it."""

from pathlib import Path

import pytest

from imaging.errors import ConfigurationError
from imaging.tuning.space import parse_space
from imaging.tuning.study import Memory, only_one
from imaging.tuning.trial import Outcome

SPACE = parse_space(["stages.0.lr=log(1e-4,1e-1)", "batch_size=choice(8,16)"])


def memory(folder: Path, *, seed: int = 0, pruner="median") -> Memory:
    folder.mkdir(exist_ok=True)
    return Memory(folder, SPACE, metric="val_loss", seed=seed, pruner=pruner, epochs=4)


def complete(study: Memory, value: float) -> dict:
    trial = study.propose()
    study.end(trial.number, Outcome(state="complete", value=value, best_epoch=1, epochs=({"epoch": 1},)))
    return trial.fields


def test_a_trial_is_kept_with_everything_that_was_told_of_it(tmp_path: Path) -> None:
    study = memory(tmp_path / "s")
    fields = complete(study, 0.5)
    (kept,) = memory(tmp_path / "s").trials()
    assert (kept.state, kept.value, kept.fields, kept.best_epoch) == ("complete", 0.5, fields, 1)
    assert kept.fields["batch_size"] in {8, 16}


def test_a_search_that_goes_on_proposes_what_it_would_have_proposed(tmp_path: Path) -> None:
    at_once = memory(tmp_path / "a")
    expected = [complete(at_once, 0.1 * number) for number in range(8)]
    found = [complete(memory(tmp_path / "b"), 0.1 * number) for number in range(8)]
    assert found == expected
    assert len({fields["stages.0.lr"] for fields in found}) == 8


def test_a_trial_that_a_kill_cut_off_fails_and_is_tried_once_more_and_not_twice(tmp_path: Path) -> None:
    first = memory(tmp_path / "s")
    cut_off = first.propose()
    first.note_epoch(cut_off.number, 1, 0.7)
    second = memory(tmp_path / "s")
    assert (second.has_cut_off(), second.started()) == (True, 1)
    again = second.propose()
    third = memory(tmp_path / "s")

    assert (again.retry_of, again.fields) == (cut_off.number, cut_off.fields)
    assert third.has_cut_off() is False
    assert [trial.state for trial in third.trials()] == ["failed", "failed"]
    assert third.trials()[0].error.startswith("[interrupted]")
    assert third.started() == 1


def test_a_trial_that_was_interrupted_goes_on_every_time(tmp_path: Path) -> None:
    study = memory(tmp_path / "s")
    fields = study.propose().fields
    for number in range(3):
        study.put_back(number, "[interrupted] stopped")
        again = study.propose()
        assert (again.retry_of, again.fields) == (number, fields)


def test_an_epoch_trained_again_after_a_kill_is_not_told_twice(tmp_path: Path) -> None:
    first = memory(tmp_path / "s")
    first.note_epoch(first.propose().number, 1, 0.7)
    second = memory(tmp_path / "s")
    again = second.propose()
    assert second.note_epoch(again.number, 1, 0.9) is True
    assert second.note_epoch(again.number, 2, 0.6) is True


def test_a_trial_worse_than_the_median_at_its_epoch_is_cut_short(tmp_path: Path) -> None:
    study = memory(tmp_path / "s")
    for _ in range(5):
        number = study.propose().number
        study.note_epoch(number, 1, 0.5)
        study.end(number, Outcome(state="complete", value=0.5))
    worse, better = study.propose().number, study.propose().number
    assert study.note_epoch(worse, 1, 0.9) is False
    assert study.note_epoch(better, 1, 0.1) is True


def test_without_a_pruner_nothing_is_cut_short(tmp_path: Path) -> None:
    study = memory(tmp_path / "s", pruner="none")
    for value in (0.5, 0.5, 0.5, 0.5, 0.5, 9.0):
        number = study.propose().number
        assert study.note_epoch(number, 1, value) is True
        study.end(number, Outcome(state="complete", value=value))


def test_two_searches_do_not_share_a_study(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with only_one(folder), pytest.raises(ConfigurationError, match="running already"), only_one(folder):
        pass
    with only_one(folder):
        assert folder.is_dir()
