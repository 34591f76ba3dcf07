import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.evaluation.decision_curve import measure_benefit, net_benefit
from imaging.evaluation.decision_curve_plot import draw_benefit
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.metrics import one_weighting
from tests.imaging.evaluation.factories import CLASSES, POINTS, calibrated_answers


def test_net_benefit_is_what_vickers_and_elkin_define_worked_by_hand():
    """Ten images, four sick; at p >= 0.2 three sick and two well are called: 3/10 - 2/10 * 0.2/0.8."""
    scores = np.array([0.9, 0.8, 0.3, 0.1, 0.7, 0.25, 0.1, 0.1, 0.05, 0.0])
    sick = np.arange(10) < 4
    found = net_benefit(scores, sick, np.array([0.2]), one_weighting(10))
    assert found[0, 0] == pytest.approx(0.3 - 0.2 * 0.25)


@given(st.integers(0, 1000), st.floats(0.01, 0.9))
@settings(max_examples=30, deadline=None)
def test_nobody_is_worth_nothing_and_a_perfect_model_is_worth_the_prevalence(seed, threshold):
    rng = np.random.default_rng(seed)
    sick = rng.random(40) < 0.4
    at, weights = np.array([threshold]), one_weighting(40)
    assert net_benefit(np.zeros(40), sick, at, weights)[0, 0] == 0
    assert net_benefit(sick.astype(float), sick, at, weights)[0, 0] == pytest.approx(sick.mean())
    everybody = net_benefit(np.ones(40), sick, at, weights)[0, 0]
    assert everybody == pytest.approx(sick.mean() - (1 - sick.mean()) * threshold / (1 - threshold))


def test_a_copy_of_every_image_changes_no_benefit_and_weights_count_as_copies():
    rng = np.random.default_rng(0)
    scores, sick, at = rng.random(30), rng.random(30) < 0.5, np.array([0.2, 0.6])
    weights = rng.integers(1, 4, size=(1, 30)).astype(float)
    copies = np.repeat(np.arange(30), weights[0].astype(int))
    weighted = net_benefit(scores, sick, at, weights)
    assert weighted == pytest.approx(net_benefit(scores[copies], sick[copies], at, one_weighting(len(copies))))


def test_a_calibrated_model_is_worth_more_than_calling_all_or_none_over_a_wide_range():
    curve = measure_benefit(calibrated_answers(images=1000)).classes["covid"]
    assert curve.useful_from < 0.1
    assert curve.useful_to > 0.8
    assert curve.gain.low > 0
    assert curve.operating_point == POINTS["covid"]
    assert all(low <= value <= high for low, value, high in zip(curve.low, curve.net_benefit, curve.high, strict=True))


def test_scores_that_tell_nothing_are_never_worth_more_than_both_by_more_than_chance():
    answers = calibrated_answers(images=600)
    flat = np.random.default_rng(5).permuted(answers.probabilities, axis=0)
    flat /= flat.sum(axis=1, keepdims=True)
    guess = Answers(
        before=flat,
        probabilities=flat,
        labels=answers.labels,
        patients=answers.patients,
        classes=CLASSES,
        operating_points={"covid": 0.3},
        resamples=200,
    )
    assert measure_benefit(guess).classes["covid"].gain.low <= 0


def test_a_model_without_operating_points_or_images_of_the_class_has_no_curve():
    answers = calibrated_answers(images=60)
    parts = {"before": answers.before, "probabilities": answers.probabilities, "patients": answers.patients}
    assert measure_benefit(Answers(**parts, labels=answers.labels, classes=CLASSES)) is None
    nobody = np.ones(60, dtype=np.int64)
    assert measure_benefit(Answers(**parts, labels=nobody, classes=CLASSES, operating_points={"covid": 0.3})) is None


def test_the_picture_is_the_same_bytes_each_time():
    benefit = measure_benefit(calibrated_answers(images=200, resamples=50))
    drawn = draw_benefit(benefit)
    assert drawn == draw_benefit(benefit)
    assert drawn.count("<svg") == 1
