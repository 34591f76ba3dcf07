import numpy as np
import pytest
from scipy import stats

from imaging.evaluation.bootstrap import bca_interval, intervals, leave_one_out, percentile_interval, resample
from imaging.evaluation.metrics import one_weighting

VALUES = np.random.default_rng(4).exponential(size=40)


def mean(weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"x": weights @ VALUES / weights.sum(axis=1)}


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("statistic", [np.mean, np.var, np.median], ids=lambda one: one.__name__)
def test_the_interval_is_scipys_on_the_same_resamples(statistic, level):
    theirs = stats.bootstrap(
        (VALUES,), statistic, n_resamples=999, confidence_level=level, method="BCa", rng=np.random.default_rng(0)
    )
    without = np.array([statistic(np.delete(VALUES, index)) for index in range(len(VALUES))])
    ours = bca_interval(float(statistic(VALUES)), theirs.bootstrap_distribution, without, level=level)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval))


def test_a_patient_is_left_out_with_all_images():
    patients = np.array(["a", "b", "a", "c"])
    found = leave_one_out(lambda weights: {"w": weights @ np.array([1.0, 10, 100, 1000])}, patients)["w"]
    assert found.tolist() == [1010, 1101, 111]


def test_leaving_out_works_in_pieces_as_at_once(monkeypatch):
    from imaging.evaluation import bootstrap

    patients = np.repeat(np.arange(20), 2)
    whole = leave_one_out(mean, patients)["x"]
    monkeypatch.setattr(bootstrap, "MOST_CELLS", 120)
    assert leave_one_out(mean, patients)["x"] == pytest.approx(whole)


def test_a_skewed_figures_interval_moves_towards_its_long_side():
    patients = np.arange(40)
    value, drawn = float(mean(one_weighting(40))["x"][0]), resample(mean, patients, resamples=2000)["x"]
    plain, moved = percentile_interval(value, drawn), bca_interval(value, drawn, leave_one_out(mean, patients)["x"])
    assert moved.low > plain.low
    assert moved.high > plain.high


def test_where_nothing_moves_or_all_resamples_are_on_one_side_the_percentiles_stay():
    drawn = np.linspace(0.2, 0.4, 100)
    assert bca_interval(0.5, drawn, np.array([0.4, 0.5, 0.6])) == percentile_interval(0.5, drawn)
    assert bca_interval(0.3, drawn, np.full(5, 0.3)) == percentile_interval(0.3, drawn)
    assert bca_interval(float("nan"), drawn, drawn).value is None


def test_corrected_intervals_are_asked_for_and_given_to_few_patients_only(monkeypatch):
    from imaging.evaluation import bootstrap

    patients = np.arange(40)
    plain, moved = (intervals(mean, patients, corrected=corrected)["x"] for corrected in (False, True))
    assert moved.high > plain.high
    assert moved.value == plain.value
    monkeypatch.setattr(bootstrap, "MOST_LEFT_OUT", 39)
    assert intervals(mean, patients, corrected=True)["x"] == plain
