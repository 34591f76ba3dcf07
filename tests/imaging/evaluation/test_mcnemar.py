import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from imaging.evaluation.mcnemar import clustered_mcnemar, sign_flip_p


def compare(won: int, lost: int, *, same: int = 10, copies: int = 1):
    """Two models of which each is right alone on so many images; each image is a patient with `copies` of it."""
    first = np.repeat(np.r_[np.ones(won), np.zeros(lost), np.ones(same)].astype(bool), copies)
    second = np.repeat(np.r_[np.zeros(won), np.ones(lost), np.ones(same)].astype(bool), copies)
    return clustered_mcnemar(first, second, np.repeat(np.arange(won + lost + same), copies))


def test_few_votes_are_judged_by_the_binomial_distribution():
    found = compare(9, 2)
    assert found.method == "exact"
    assert found.p == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert (found.images_won, found.images_lost, found.patients_won, found.patients_lost) == (9, 2, 9, 2)


def test_many_votes_are_judged_by_mcnemars_own_formula():
    found = compare(40, 20)
    assert found.method == "chi-squared"
    assert found.p == pytest.approx(chi2.sf((40 - 20) ** 2 / 60, 1))


def test_two_models_right_on_the_same_images_show_no_difference():
    found = compare(0, 0)
    assert (found.method, found.p) == ("no difference", None)


@pytest.mark.parametrize(("won", "lost"), [(9, 2), (40, 20)])
def test_copies_of_a_patients_image_are_no_further_evidence(won, lost):
    assert compare(won, lost, copies=4).p == pytest.approx(compare(won, lost).p)


def test_unequal_votes_follow_durkalskis_formula_worked_by_hand():
    """Twenty patients win one image of two, ten lose both of two: votes of 1/2 and of 1."""
    first = np.r_[np.tile([True, False], 20), np.zeros(20, bool)]
    second = np.r_[np.zeros(40, bool), np.ones(20, bool)]
    found = clustered_mcnemar(first, second, np.repeat(np.arange(30), 2))
    assert found.p == pytest.approx(chi2.sf((20 * 0.5 - 10) ** 2 / (20 * 0.25 + 10), 1))
    assert (found.images_won, found.images_lost) == (20, 20)
    assert (found.patients_won, found.patients_lost) == (20, 10)


def test_few_unequal_votes_are_judged_by_trying_all_signs():
    found = clustered_mcnemar(np.array([1, 0, 1, 0, 1], bool), np.zeros(5, bool), np.array([0, 0, 1, 1, 2]))
    assert found.method == "exact"
    assert found.p == pytest.approx(2 / 8)


@given(st.integers(1, 12), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_trying_all_signs_of_equal_votes_is_the_binomial_test(won, lost):
    exact = min(1.0, 2 * binom.cdf(min(won, lost), won + lost, 0.5))
    assert sign_flip_p(np.r_[np.ones(won), -np.ones(lost)]) == pytest.approx(exact)


@given(st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_swapping_the_two_models_changes_who_won_and_not_the_p_value(seed):
    rng = np.random.default_rng(seed)
    first, second, patients = rng.random(60) < 0.7, rng.random(60) < 0.6, rng.integers(0, 25, 60)
    one, other = clustered_mcnemar(first, second, patients), clustered_mcnemar(second, first, patients)
    assert one.p == pytest.approx(other.p)
    assert (one.patients_won, one.images_lost) == (other.patients_lost, other.images_won)


def test_equal_models_are_called_different_one_time_in_twenty():
    """With several images a patient, whose answers hang together; counted by image, it would be one time in six."""
    rng = np.random.default_rng(3)
    patients, alarms = np.repeat(np.arange(60), 3), 0
    for _ in range(400):
        shares = np.clip(rng.random((2, 60)) * 2 - 0.5, 0, 1)[:, patients]
        alarms += (clustered_mcnemar(*(rng.random(shares.shape) < shares), patients).p or 1.0) < 0.05
    assert 0.02 < alarms / 400 < 0.08
