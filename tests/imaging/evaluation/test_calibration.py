import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from imaging.errors import DataError
from imaging.evaluation.calibration import fit_temperature, mean_nll
from imaging.evaluation.operating_points import choose_operating_point, choose_operating_points, wilson_lower
from imaging.models.calibration_map import calibrated


def drawn(images: int, *, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times as large as the ones their labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, 3)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return logits * sharpness, labels.astype(np.int64)


def test_the_temperature_that_made_the_logits_is_found_again():
    for sharpness in (0.5, 1.0, 2.5):
        fitted = fit_temperature(*drawn(6000, sharpness=sharpness))
        assert fitted.temperature == pytest.approx(sharpness, rel=0.06)


def test_it_is_the_best_temperature_there_is():
    logits, labels = drawn(400, sharpness=2.0)
    fitted = fit_temperature(logits, labels)
    best = min(mean_nll(logits, labels, temperature) for temperature in np.geomspace(0.1, 20, 400))
    assert fitted.nll_after == pytest.approx(best, abs=1e-4)


@given(st.integers(0, 10_000), st.floats(0.05, 20), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_the_temperature_never_raises_the_likelihoods_loss(seed, sharpness, images):
    logits, labels = drawn(images, sharpness=sharpness, seed=seed)
    fitted = fit_temperature(logits, labels)
    assert mean_nll(logits, labels, fitted.temperature) <= mean_nll(logits, labels, 1.0)
    assert fitted.nll_after <= fitted.nll_before
    assert (calibrated(logits, fitted.temperature).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_part_where_every_image_is_right_does_not_ask_for_boundless_confidence():
    labels = np.arange(60) % 3
    fitted = fit_temperature(np.eye(3)[labels] * 4, labels)
    assert 0.2 < fitted.temperature < 1


def test_logits_that_are_not_numbers_are_refused():
    with pytest.raises(DataError, match="finite logits"):
        fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
    with pytest.raises(DataError, match="finite logits"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64))


def test_a_temperature_divides_the_logits_of_a_softmax():
    logits, _ = drawn(50, sharpness=1.0)
    assert np.abs(calibrated(logits.astype(np.float32), 1.7) - softmax(logits / 1.7, axis=1)).max() < 1e-6


@given(st.integers(0, 10_000), st.floats(0, 0.95))
@settings(max_examples=40, deadline=None)
def test_the_operating_point_is_the_best_of_all_allowed_ones(seed, floor):
    rng = np.random.default_rng(seed)
    positive = rng.random(40) < 0.5
    positive[:2] = True, False
    scores = np.round(np.clip(0.3 * positive + rng.random(40) * 0.7, 0, 1), 2)
    chosen = choose_operating_point(scores, positive, floor=floor)

    def judge(threshold: float) -> tuple[float, float, float]:
        called = scores >= threshold
        hits, count = called[positive].sum(), positive.sum()
        return (
            hits / count,
            float(wilson_lower(np.array([float(hits)]), count)[0]),
            hits / count - called[~positive].mean(),
        )

    every = [judge(threshold) for threshold in np.linspace(0, 1, 401)]
    safe = [one for one in every if one[1] >= floor] or [one for one in every if one[0] >= floor]
    assert judge(chosen)[2] == pytest.approx(max(one[2] for one in safe))
    assert judge(chosen)[0] >= floor


def test_each_critical_class_gets_its_own_point_and_no_other_class_one():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6], [0.1, 0.5, 0.4]])
    points = choose_operating_points(
        probabilities,
        np.array([0, 1, 2, 2]),
        classes=("covid", "normal", "pneumonia"),
        critical=("pneumonia",),
        floors={},
    )
    assert set(points) == {"pneumonia"}
    assert 0.1 < points["pneumonia"]["youden"] < 0.4


def test_a_class_without_images_has_no_operating_point():
    with pytest.raises(DataError, match="both of the class"):
        choose_operating_point(np.array([0.1, 0.2]), np.array([False, False]))
