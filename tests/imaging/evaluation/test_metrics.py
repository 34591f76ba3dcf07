import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as reference
from torchmetrics.functional.classification import multiclass_auroc, multiclass_calibration_error

from imaging.evaluation.expected_calibration_error import (
    debiased_error,
    equal_mass_bins,
    folded_normal_mean,
    plugin_error,
)
from imaging.evaluation.metrics import (
    all_metrics,
    auroc,
    balanced_accuracy,
    brier,
    confusion_matrix,
    negative_log_likelihood,
    one_weighting,
)
from tests.imaging.evaluation.factories import POINTS, calibrated_answers

ONE = calibrated_answers(images=300)
THRESHOLDS = {0: POINTS["covid"], 2: POINTS["pneumonia"]}


def whole(name: str) -> float:
    return float(all_metrics(ONE.probabilities, ONE.labels, one_weighting(300), thresholds=THRESHOLDS)[name][0])


def test_auroc_of_each_class_is_scikit_learns_and_torchmetrics():
    theirs = multiclass_auroc(torch.from_numpy(ONE.probabilities), torch.from_numpy(ONE.labels), 3, average=None)
    for index in range(3):
        expected = reference.roc_auc_score(ONE.labels == index, ONE.probabilities[:, index])
        assert whole(f"auroc/{index}") == pytest.approx(expected, abs=1e-12)
        assert whole(f"auroc/{index}") == pytest.approx(float(theirs[index]), abs=1e-6)
    macro = reference.roc_auc_score(ONE.labels, ONE.probabilities, multi_class="ovr")
    assert whole("macro_auroc") == pytest.approx(macro, abs=1e-12)


def test_figures_at_the_operating_point_are_scikit_learns():
    for index, threshold in THRESHOLDS.items():
        truth, called = ONE.labels == index, ONE.probabilities[:, index] >= threshold
        expected = {
            "sensitivity": reference.recall_score(truth, called),
            "specificity": reference.recall_score(~truth, ~called),
            "ppv": reference.precision_score(truth, called),
            "npv": reference.precision_score(~truth, ~called),
            "f1": reference.f1_score(truth, called),
            "mcc": reference.matthews_corrcoef(truth, called),
        }
        assert {name: whole(f"{name}/{index}") for name in expected} == pytest.approx(expected)


def test_a_class_without_an_operating_point_is_called_by_argmax():
    called = ONE.probabilities.argmax(axis=1) == 1
    assert whole("sensitivity/1") == pytest.approx(reference.recall_score(ONE.labels == 1, called))


def test_figures_over_all_classes_are_scikit_learns():
    top = ONE.probabilities.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(ONE.labels, top),
        "balanced_accuracy": reference.balanced_accuracy_score(ONE.labels, top),
        "macro_f1": reference.f1_score(ONE.labels, top, average="macro"),
        "mcc": reference.matthews_corrcoef(ONE.labels, top),
        "brier": reference.brier_score_loss(ONE.labels, ONE.probabilities, scale_by_half=False),
        "nll": reference.log_loss(ONE.labels, ONE.probabilities),
    }
    assert {name: whole(name) for name in expected} == pytest.approx(expected)
    assert (confusion_matrix(ONE.probabilities, ONE.labels) == reference.confusion_matrix(ONE.labels, top)).all()


def test_plugin_calibration_error_is_torchmetrics():
    theirs = multiclass_calibration_error(
        torch.from_numpy(ONE.probabilities), torch.from_numpy(ONE.labels), 3, n_bins=15, norm="l1"
    )
    assert plugin_error(ONE.probabilities, ONE.labels, one_weighting(300))[0] == pytest.approx(float(theirs), abs=1e-6)


def test_debiased_error_is_kumars_estimate_by_simulation():
    confidence = ONE.probabilities.max(axis=1)
    correct = ONE.probabilities.argmax(axis=1) == ONE.labels
    member = equal_mass_bins(confidence, 10)
    rng = np.random.default_rng(0)
    bins = [member == one for one in np.unique(member)]
    share = np.array([inside.mean() for inside in bins])
    said = np.array([confidence[inside].mean() for inside in bins])
    was = np.array([correct[inside].mean() for inside in bins])
    noise = np.sqrt(was * (1 - was) / np.array([inside.sum() for inside in bins]))
    drawn = [share @ np.abs(rng.normal(was, noise) - said) for _ in range(20_000)]
    expected = 2 * (share @ np.abs(was - said)) - np.mean(drawn)
    ours = debiased_error(ONE.probabilities, ONE.labels, one_weighting(300), bins=10)[0]
    assert ours == pytest.approx(expected, abs=1e-3)


def test_a_calibrated_model_of_few_images_looks_better_debiased_than_plugin():
    sets = [calibrated_answers(images=300, seed=seed) for seed in range(30)]
    weights = one_weighting(300)
    plugin = np.mean([plugin_error(one.probabilities, one.labels, weights) for one in sets])
    debiased = np.mean([debiased_error(one.probabilities, one.labels, weights) for one in sets])
    overconfident = np.mean([debiased_error(one.before, one.labels, weights) for one in sets])
    assert debiased < 0.6 * plugin
    assert overconfident > 3 * debiased


def test_the_folded_normal_mean_is_exact_at_both_ends():
    found = folded_normal_mean(np.array([0.0, 3.0, -2.0]), np.array([1.0, 0.0, 1e-9]))
    assert found == pytest.approx([np.sqrt(2 / np.pi), 3.0, 2.0])


def test_weights_count_an_image_as_often_as_they_say():
    weights = np.random.default_rng(1).integers(0, 4, size=(5, 300)).astype(float)
    found = all_metrics(ONE.probabilities, ONE.labels, weights, thresholds=THRESHOLDS)
    for row in range(5):
        repeated = np.repeat(np.arange(300), weights[row].astype(int))
        p, y = ONE.probabilities[repeated], ONE.labels[repeated]
        alone = all_metrics(p, y, one_weighting(len(y)), thresholds=THRESHOLDS)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(
            {name: values[0] for name, values in alone.items()}
        )


def test_what_is_undefined_is_nan_and_not_a_guess():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    labels = np.array([0, 1])
    found = all_metrics(probabilities, labels, one_weighting(2), thresholds={})
    assert np.isnan(found["auroc/2"][0])
    assert np.isnan(found["macro_auroc"][0])
    assert np.isnan(found["sensitivity/2"][0])
    assert np.isnan(found["ppv/2"][0])
    assert np.isnan(balanced_accuracy(probabilities, labels, one_weighting(2))[0])


def test_brier_and_likelihood_by_hand():
    probabilities, labels = np.array([[0.5, 0.3, 0.2]]), np.array([0])
    assert brier(probabilities, labels, one_weighting(1))[0] == pytest.approx(0.25 + 0.09 + 0.04)
    assert negative_log_likelihood(probabilities, labels, one_weighting(1))[0] == pytest.approx(np.log(2))


scores = arrays.arrays(np.float64, st.integers(4, 40), elements=st.integers(0, 12).map(float))


@given(scores, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_auroc_does_not_change_under_a_monotone_map_and_turns_over_under_its_negative(values, random):
    positive = np.array([random.random() < 0.5 for _ in values])
    positive[:2] = True, False
    weights = one_weighting(len(values))
    area = auroc(values, positive, weights)[0]
    assert auroc(np.exp(values / 3) + 7, positive, weights)[0] == pytest.approx(area)
    assert auroc(-values, positive, weights)[0] == pytest.approx(1 - area)
    assert area == pytest.approx(reference.roc_auc_score(positive, values))
