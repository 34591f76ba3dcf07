import numpy as np
import pytest

from monitoring.drift.embedding import mmd_p_value


def test_two_draws_of_one_cloud_are_told_apart_about_as_often_as_p_says() -> None:
    chance = np.random.default_rng(1)
    p_values = [
        mmd_p_value(chance.normal(size=(60, 4)), chance.normal(size=(50, 4)), permutations=200, seed=seed)
        for seed in range(60)
    ]
    assert (np.array(p_values) <= 0.1).sum() <= 14
    assert np.median(p_values) == pytest.approx(0.5, abs=0.2)


def test_a_change_of_correlation_that_no_coordinate_shows_is_found() -> None:
    chance = np.random.default_rng(2)
    shared = chance.normal(size=(300, 1))
    together = 0.95 * shared + 0.3 * chance.normal(size=(300, 2))
    apart = together * [1, -1]
    assert mmd_p_value(together, apart, permutations=500) <= 1 / 400


def test_clouds_of_other_sizes_and_the_same_seed_give_the_same_p() -> None:
    chance = np.random.default_rng(3)
    one, other = chance.normal(size=(900, 3)), chance.normal(size=(450, 3))
    first, second = (mmd_p_value(one, other, permutations=100, seed=4) for _ in range(2))
    assert first == second
    assert 0 < first <= 1
