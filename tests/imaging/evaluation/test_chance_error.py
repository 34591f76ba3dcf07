"""What a perfectly calibrated model shows by chance."""

import numpy as np
import pytest

from imaging.evaluation.expected_calibration_error import chance_error, debiased_error


def calibrated(count: int, seed: int):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet((0.4, 0.4, 0.4), size=count)
    labels = np.array([rng.choice(3, p=row) for row in probabilities])
    return probabilities, labels


def test_about_one_perfectly_calibrated_model_in_twenty_exceeds_it():
    exceeded = 0
    for seed in range(200):
        probabilities, labels = calibrated(200, seed)
        error = debiased_error(probabilities, labels, np.ones((1, 200)))[0]
        exceeded += error > chance_error(probabilities, draws=300, seed=seed)
    assert 2 <= exceeded <= 20


@pytest.mark.parametrize("seed", range(3))
def test_it_falls_as_images_are_added(seed):
    small, large = calibrated(150, seed)[0], calibrated(2400, seed)[0]
    assert chance_error(large) < 0.05 < chance_error(small)
