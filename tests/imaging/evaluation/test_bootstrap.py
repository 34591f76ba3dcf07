import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.evaluation import bootstrap
from imaging.evaluation.bootstrap import centred_interval, intervals, patient_weights, percentile_interval, resample
from imaging.evaluation.metrics import accuracy, all_metrics
from tests.imaging.evaluation.factories import calibrated_answers


def test_all_images_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are():
    patients = np.array(["a", "b", "a", "c", "c", "c"])
    weights = patient_weights(patients, 50, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()


def test_repeated_images_of_one_patient_do_not_narrow_the_interval():
    answers = calibrated_answers(images=100, per_patient=1)
    copies = np.repeat(np.arange(100), 9)

    def width(rows: np.ndarray, patients: np.ndarray) -> float:
        figure = intervals(
            lambda weights: {"x": accuracy(answers.probabilities[rows], answers.labels[rows], weights)},
            patients,
            resamples=500,
        )["x"]
        return figure.high - figure.low

    alone = width(np.arange(100), answers.patients)
    assert width(copies, answers.patients[copies]) == pytest.approx(alone)
    assert width(copies, np.arange(900).astype(str)) < 0.5 * alone


def test_the_interval_of_a_mean_is_about_what_theory_says():
    values = np.random.default_rng(3).normal(size=400)
    figure = intervals(lambda weights: {"x": weights @ values / weights.sum(axis=1)}, np.arange(400), resamples=2000)[
        "x"
    ]
    error = values.std() / 20
    assert figure.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert figure.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_same_seed_gives_the_same_draws_whatever_is_computed():
    patients = np.arange(30).astype(str)
    first = resample(lambda weights: {"w": weights[:, 0]}, patients, resamples=20, seed=4)["w"]
    second = resample(lambda weights: {"w": weights[:, 0], "v": weights[:, 1]}, patients, resamples=20, seed=4)["w"]
    other = resample(lambda weights: {"w": weights[:, 0]}, patients, resamples=20, seed=5)["w"]
    assert (first == second).all()
    assert (first != other).any()


def test_a_large_part_is_drawn_in_pieces_with_the_number_of_resamples_asked_for():
    patients = np.arange(bootstrap.MOST_CELLS // 3)
    drawn = resample(lambda weights: {"n": weights.sum(axis=1)}, patients, resamples=4)["n"]
    assert drawn.tolist() == [len(patients)] * 4


def test_a_figure_that_most_resamples_cannot_compute_has_no_interval():
    drawn = np.r_[np.full(80, 0.5), np.full(20, np.nan)]
    assert percentile_interval(0.5, drawn).low is None
    assert percentile_interval(float("nan"), np.full(10, 0.5)).value is None
    assert centred_interval(0.5, drawn).high is None


@given(st.integers(0, 10_000), st.integers(6, 60))
@settings(max_examples=25, deadline=None)
def test_every_interval_holds_its_value_and_stays_in_range(seed, images):
    answers = calibrated_answers(images=images, seed=seed)
    found = intervals(
        lambda weights: all_metrics(answers.probabilities, answers.labels, weights, thresholds={0: 0.3}),
        answers.patients,
        resamples=60,
        seed=seed,
    )
    for name, figure in found.items():
        if figure.low is not None:
            assert figure.low <= figure.value <= figure.high
            assert figure.low >= (-1 - 1e-12 if name.startswith("mcc") else 0)
            assert figure.high <= (2 if name == "brier" else np.inf if name == "nll" else 1) + 1e-12


@given(st.floats(-0.02, 0.3), st.lists(st.floats(0, 0.4), min_size=2, max_size=30))
@settings(max_examples=50, deadline=None)
def test_a_centred_interval_holds_its_value_and_never_goes_below_its_floor(value, drawn):
    figure = centred_interval(value, np.array(drawn), lowest=0.0)
    assert 0 <= figure.low <= figure.value <= figure.high
