import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.training.verdict import RULE, judge
from tests.imaging.training.histories import history


def verdict(*args, classes: int = 3, **kwargs) -> str:
    return judge(history(*args, **kwargs), classes=classes).verdict


def test_a_validation_loss_that_rises_while_the_training_loss_falls_is_over_fitting() -> None:
    judged = judge(history([1.0, 0.6, 0.4, 0.45, 0.5, 0.6]), classes=3)
    assert judged.verdict == "over-fitting"
    assert "after epoch 3 the validation loss rose from 0.400 to 0.600" in judged.reason
    assert "training loss fell from 0.500 to 0.062" in judged.reason
    assert judged.rule == RULE


def test_the_level_of_the_training_loss_does_not_matter_only_its_direction() -> None:
    rising = [1.0, 0.6, 0.4, 0.45, 0.5, 0.6]
    assert verdict(rising, [6.0, 5.0, 4.5, 4.0, 3.8, 3.5]) == "over-fitting"
    assert verdict([1.0, 0.6, 0.5, 0.49, 0.49, 0.49], [9.0, 5.0, 4.5, 4.0, 3.8, 3.5]) == "neither"


def test_a_loss_that_rises_at_steady_accuracy_is_told_as_surer_not_wronger() -> None:
    rising = [1.0, 0.6, 0.4, 0.45, 0.5, 0.6]
    assert "surer, not wronger" in judge(history(rising, val_accuracy=[0.8] * 6), classes=3).reason
    assert "surer" not in judge(history(rising, val_accuracy=[0.8, 0.8, 0.8, 0.7, 0.7, 0.7]), classes=3).reason


def test_both_losses_rising_is_no_over_fitting_but_unsteadiness() -> None:
    judged = judge(history([1.0, 0.6, 0.4, 0.8, 0.9, 0.9], [1.0, 0.6, 0.4, 0.6, 0.9, 0.9]), classes=3)
    assert judged.verdict == "neither"
    assert "unsteady" in judged.reason


def test_one_bad_last_epoch_is_no_over_fitting() -> None:
    assert verdict([1.0, 0.6, 0.5, 0.45, 0.44, 0.6]) == "neither"


def test_a_validation_loss_still_falling_at_the_end_is_under_fitting() -> None:
    judged = judge(history([1.0, 0.9, 0.8, 0.7, 0.6]), classes=3)
    assert judged.verdict == "under-fitting"
    assert "still falling, from 0.700 to 0.600 since epoch 4" in judged.reason


def test_a_validation_loss_that_has_flattened_is_neither() -> None:
    assert verdict([1.0, 0.6, 0.5, 0.45, 0.44, 0.438]) == "neither"


def test_training_images_that_are_not_learnt_are_under_fitting_by_the_classes_chance() -> None:
    flat = [1.1, 1.0, 0.99, 0.985, 0.984]
    assert verdict(flat, train_accuracy=0.6, classes=3) == "under-fitting"
    assert verdict(flat, train_accuracy=0.6, classes=10) == "neither"
    assert "less than half of the way from chance (0.500)" in judge(history(flat, train_accuracy=0.7), classes=2).reason


def test_changes_of_a_loss_near_nothing_do_not_count() -> None:
    assert verdict([0.02, 0.008, 0.004, 0.006, 0.007, 0.008]) == "neither"
    assert verdict([0.02, 0.012, 0.008, 0.005, 0.003]) == "neither"


@pytest.mark.parametrize("losses", [[0.9], [0.9, 0.5]])
def test_too_few_epochs_show_no_direction(losses: list[float]) -> None:
    assert verdict(losses) == "undecided"


def test_a_last_stage_of_one_epoch_shows_no_direction() -> None:
    judged = judge(history([1.0, 0.8, 0.7, 0.6], stages=[3, 1]), classes=3)
    assert (judged.verdict, judged.reason) == ("undecided", "the last stage's 1 epoch shows no direction yet")


def test_a_stage_that_only_made_things_worse_over_fitted_whatever_came_before() -> None:
    judged = judge(history([1.0, 0.6, 0.4, 0.5, 0.6, 0.7], stages=[3, 3]), classes=3)
    assert judged.verdict == "over-fitting"
    assert "after epoch 3" in judged.reason


def test_an_over_fitted_head_is_forgotten_when_the_next_stage_does_well() -> None:
    assert verdict([1.0, 0.5, 0.6, 0.8, 0.45, 0.40, 0.395, 0.394], stages=[4, 4]) == "neither"


@given(st.integers(0, 10_000))
def test_a_noisy_plateau_is_not_called_over_fitting_when_training_has_ended_too(seed: int) -> None:
    random = np.random.default_rng(seed)
    losses = (0.4 + random.normal(0, 0.02, 60)).tolist()
    assert verdict(losses, [0.2] * 60) != "over-fitting"


@given(st.integers(0, 200))
def test_a_validation_loss_with_little_noise_is_not_called_over_fitting_while_training_goes_on(seed: int) -> None:
    random = np.random.default_rng(seed)
    losses = (0.4 + 0.6 * 0.5 ** np.arange(40) + random.uniform(-0.02, 0.02, 40)).tolist()
    assert verdict(losses) == "neither"


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=30), st.integers(2, 100))
def test_every_history_gets_a_verdict_and_a_reason(losses: list[float], classes: int) -> None:
    judged = judge(history(losses), classes=classes)
    assert judged.verdict in {"over-fitting", "under-fitting", "neither", "undecided"}
    assert judged.reason
