"""Average precision, and sensitivity or specificity where the other is fixed: scikit-learn's, weighted and tied."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as reference

from imaging.evaluation.metrics import Ranking, ranking_metrics

COUNT = 60
SCORES = arrays.arrays(np.float64, COUNT, elements=st.integers(0, 12).map(lambda n: n / 12))
TRUTH = arrays.arrays(np.bool_, COUNT).filter(lambda truth: truth.any() and not truth.all())
WEIGHTS = arrays.arrays(np.float64, (3, COUNT), elements=st.integers(0, 3).map(float))


@given(scores=SCORES, truth=TRUTH, weights=WEIGHTS)
def test_figures_are_scikit_learns_for_every_weighting(
    scores: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> None:
    ranking = Ranking.of(scores, truth, weights)
    found = ranking.auroc(), ranking.average_precision(), ranking.sensitivity_at(0.95), ranking.specificity_at(0.95)
    for row, weight in enumerate(weights):
        if not weight[truth].sum() or not weight[~truth].sum():
            assert np.isnan(found[0][row])
            continue
        assert found[0][row] == pytest.approx(reference.roc_auc_score(truth, scores, sample_weight=weight))
        assert found[1][row] == pytest.approx(reference.average_precision_score(truth, scores, sample_weight=weight))
        alarms, hits, _ = reference.roc_curve(truth, scores, sample_weight=weight, drop_intermediate=False)
        assert found[2][row] == pytest.approx(hits[alarms <= 0.05 + 1e-9].max())
        assert found[3][row] == pytest.approx(1 - alarms[hits >= 0.95 - 1e-9].min())


def test_sensitivity_at_a_specificity_counts_only_what_lies_above_enough_others() -> None:
    scores = np.r_[np.arange(100) / 100, [0.955, 0.945, 0.5]]
    truth = np.r_[np.zeros(100, bool), np.ones(3, bool)]
    found = Ranking.of(scores, truth, np.ones((1, 103))).sensitivity_at(0.95)
    assert found == pytest.approx([2 / 3])


def test_a_class_without_images_has_no_figure() -> None:
    probabilities = np.full((4, 2), 0.5)
    found = ranking_metrics(probabilities, np.zeros(4, int), np.ones((2, 4)))
    assert all(np.isnan(values).all() for values in (found["auroc"], found["sensitivity_at_95_specificity"]))
    assert np.isnan(found["average_precision"][:, 1]).all()
    assert np.isnan(found["specificity_at_95_sensitivity"]).all()
