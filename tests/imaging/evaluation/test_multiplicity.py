import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.evaluation.multiplicity import judge_together


def test_one_figure_alone_has_the_interval_and_the_p_value_of_the_normal_distribution():
    noise = np.random.default_rng(0).normal(size=(20_000, 1)) * 0.1
    found = judge_together(np.array([0.2]), 0.2 + noise)
    assert found.reach == pytest.approx(1.96, abs=0.03)
    assert found.intervals[0].low == pytest.approx(0.2 - 0.196, abs=0.005)
    assert found.p_above[0] == pytest.approx(0.0228, abs=0.003)


def test_ten_independent_figures_cost_what_sidak_asks_and_ten_copies_of_one_cost_nothing():
    rng = np.random.default_rng(0)
    apart = judge_together(np.zeros(10), rng.normal(size=(20_000, 10)) * 0.1)
    copies = judge_together(np.zeros(10), np.repeat(rng.normal(size=(20_000, 1)) * 0.1, 10, axis=1))
    assert apart.reach == pytest.approx(2.80, abs=0.05)  # two-sided normal quantile at 0.95 ** (1 / 10)
    assert copies.reach == pytest.approx(1.96, abs=0.03)


def test_the_worst_of_many_equal_groups_is_called_beyond_chance_one_time_in_twenty_at_most():
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(500, 12)) * 0.1
    false_alarms = sum(
        any(figure.low > 0 for figure in judge_together(values, values + drawn).intervals)
        for values in rng.normal(size=(400, 12)) * 0.1
    )
    assert false_alarms / 400 < 0.05


def test_a_group_that_no_resample_moves_or_few_can_compute_is_not_tested():
    noise = np.random.default_rng(0).normal(size=(200, 3)) * 0.1
    drawn = np.array([0.0, 0.1, 0.1]) + noise * [0, 1, 1]
    drawn[:50, 2] = np.nan
    still, moved, undefined = judge_together(np.array([0.0, 0.1, 0.1]), drawn).intervals
    assert (still.low, still.high) == (0, 0)
    assert moved.low < 0.1 < moved.high
    assert undefined.low is None
    assert judge_together(np.array([0.0]), np.zeros((10, 1))).reach is None


@given(st.integers(0, 1000), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_more_groups_never_make_a_p_value_smaller_nor_an_interval_narrower(seed, groups):
    rng = np.random.default_rng(seed)
    values, noise = rng.normal(size=groups) * 0.1, rng.normal(size=(100, groups)) * 0.1
    alone = judge_together(values[:1], (values + noise)[:, :1])
    among = judge_together(values, values + noise)
    assert among.p_above[0] >= alone.p_above[0]
    assert among.intervals[0].low <= alone.intervals[0].low


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_largest_standardised_gap_has_the_smallest_p_value(seed):
    rng = np.random.default_rng(seed)
    values, noise = rng.normal(size=5) * 0.1, rng.normal(size=(200, 5)) * 0.1
    found = judge_together(values, values + noise)
    order = np.argsort(-values / noise.std(axis=0, ddof=1))
    assert (np.diff(np.array(found.p_above)[order]) >= 0).all()
