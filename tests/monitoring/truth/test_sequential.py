import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom

from monitoring.truth.sequential import bet_against


def test_looking_after_every_label_errs_no_more_often_than_the_level_says() -> None:
    chance = np.random.default_rng(1)
    alarms = sum(
        bet_against(chance.random(1_000) < 0.1, null_rate=0.1, level=0.05).alarm_at is not None for _ in range(600)
    )
    # at most 5 % of 600 are 30; twice the deviation above
    assert alarms <= 41


def test_a_rate_that_doubled_is_found_and_one_that_fell_is_not() -> None:
    chance = np.random.default_rng(2)
    doubled = [bet_against(chance.random(600) < 0.2, null_rate=0.1, level=0.01).alarm_at for _ in range(40)]
    assert all(found is not None for found in doubled)
    assert np.median([found for found in doubled if found]) < 250
    assert bet_against(chance.random(2_000) < 0.05, null_rate=0.1, level=0.01).alarm_at is None


def test_the_wealth_is_the_mixture_of_likelihood_ratios() -> None:
    outcomes = np.array([True] * 3 + [False] * 5)
    exact, _ = quad(lambda rate: binom.pmf(3, 8, rate) / binom.pmf(3, 8, 0.2) / 0.8, 0.2, 1)
    assert bet_against(outcomes, null_rate=0.2, level=0.01).wealth[-1] == pytest.approx(exact, rel=0.01)


@given(st.lists(st.booleans(), max_size=60), st.floats(0.01, 0.9))
def test_the_expected_wealth_after_one_more_label_is_no_higher_under_the_null(
    outcomes: list[bool], null: float
) -> None:
    def wealth(more: bool) -> float:
        return float(bet_against(np.array([*outcomes, more]), null_rate=null, level=0.01).wealth[-1])

    now = float(bet_against(np.array(outcomes), null_rate=null, level=0.01).wealth[-1]) if outcomes else 1.0
    assert null * wealth(True) + (1 - null) * wealth(False) <= now * (1 + 1e-9)


def test_no_labels_are_no_evidence() -> None:
    found = bet_against(np.array([], dtype=bool), null_rate=0.1, level=0.01)
    assert (found.alarm_at, found.p_value) == (None, 1.0)


def test_a_null_of_nothing_is_refuted_by_what_never_should_happen() -> None:
    assert bet_against(np.array([False] * 20 + [True] * 2), null_rate=0.0, level=0.01).alarm_at is not None
