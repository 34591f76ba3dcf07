"""The interval without resampling, held to DeLong's own sums and to the bootstrap over patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.delong import delong_interval
from imaging.evaluation.metrics import auroc


def drawn(seed: int, *, patients: int = 80, images: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, labels and patients; images of a patient share a label and most of their score."""
    rng = np.random.default_rng(seed)
    keys = np.repeat(np.arange(patients), images)
    positive = (rng.random(patients) < 0.4)[keys]
    positive[:images], positive[-images:] = True, False
    scores = positive + 1.2 * rng.normal(size=patients)[keys] + 0.3 * rng.normal(size=len(keys))
    return scores, positive, keys


@given(st.integers(0, 1000))
def test_with_one_image_a_patient_it_is_delongs(seed: int) -> None:
    scores, positive, patients = drawn(seed)
    scores = scores.round(1)  # ties
    wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (scores[positive][:, None] == scores[~positive])
    area = roc_auc_score(positive, scores)
    deviation = np.sqrt(wins.mean(1).var(ddof=1) / positive.sum() + wins.mean(0).var(ddof=1) / (~positive).sum())
    reach = 1.959964 * deviation / (area * (1 - area))
    found = delong_interval(scores, positive, patients)
    assert found.value == pytest.approx(area)
    assert (found.low, found.high) == pytest.approx(tuple(expit(logit(area) + np.array([-reach, reach]))), abs=1e-6)


@pytest.mark.parametrize("images", [1, 4])
def test_it_agrees_with_the_bootstrap_over_patients(images: int) -> None:
    scores, positive, patients = drawn(3, patients=300, images=images)
    resampled = intervals(lambda weights: {"auroc": auroc(scores, positive, weights)}, patients)["auroc"]
    found = delong_interval(scores, positive, patients)
    assert (found.low, found.high) == pytest.approx((resampled.low, resampled.high), abs=0.01)


@given(st.integers(0, 1000))
def test_copies_of_an_image_are_no_evidence(seed: int) -> None:
    scores, positive, patients = drawn(seed)
    one = delong_interval(scores, positive, patients)
    three = delong_interval(np.repeat(scores, 3), np.repeat(positive, 3), np.repeat(patients, 3))
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


@given(st.integers(0, 1000))
def test_the_order_of_images_and_a_monotone_change_of_scores_do_not_matter(seed: int) -> None:
    scores, positive, patients = drawn(seed, images=2)
    order = np.random.default_rng(seed).permutation(len(scores))
    one = delong_interval(scores, positive, patients)
    other = delong_interval(np.exp(scores[order]), positive[order], patients[order])
    assert (other.low, other.high) == pytest.approx((one.low, one.high))


def test_what_cannot_be_known_has_no_interval() -> None:
    scores, keys = np.array([0.1, 0.2, 0.8, 0.9]), np.arange(4)
    perfect = delong_interval(scores, np.array([False, False, True, True]), keys)
    assert (perfect.value, perfect.low) == (1.0, None)
    lonely = delong_interval(scores, np.array([False, True, False, False]), keys)
    assert lonely.value == pytest.approx(1 / 3)
    assert lonely.high is None
    assert delong_interval(scores, np.ones(4, bool), keys).value is None
