import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.evaluation.evaluate import evaluate_calibration
from imaging.evaluation.expected_calibration_error import equal_mass_error, maximum_error
from imaging.evaluation.metrics import one_weighting
from tests.imaging.evaluation.factories import calibrated_answers


def test_both_errors_worked_by_hand_on_two_bins():
    """Ten images at 0.6 of which four are right, ten at 0.9 of which eight are: gaps of 0.2 and 0.1."""
    confidence = np.r_[np.full(10, 0.6), np.full(10, 0.9)]
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.r_[np.repeat([0, 1], [4, 6]), np.repeat([0, 1], [8, 2])]
    assert maximum_error(probabilities, labels, one_weighting(20), bins=2)[0] == pytest.approx(0.2)
    assert equal_mass_error(probabilities, labels, one_weighting(20), bins=2)[0] == pytest.approx(0.15)


@given(st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_the_worst_bin_is_never_better_than_the_mean_of_all(seed):
    answers = calibrated_answers(images=120, seed=seed)
    parts = answers.probabilities, answers.labels, one_weighting(120)
    assert maximum_error(*parts, bins=5)[0] >= equal_mass_error(*parts, bins=5)[0] - 1e-12


def test_the_reliability_curve_holds_every_image_and_gives_back_the_maximum_error():
    answers = calibrated_answers(images=600, resamples=20)
    found = evaluate_calibration(answers, temperature=2.0)
    gaps = [abs(one.accuracy - one.confidence) for one in found.reliability]
    assert sum(one.n_images for one in found.reliability) == 600
    assert max(gaps) == pytest.approx(found.maximum_after.value)
    assert found.maximum_before.value > found.maximum_after.value
