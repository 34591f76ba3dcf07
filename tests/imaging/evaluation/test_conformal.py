"""Prediction sets keep their promise: against MAPIE, by hand, by simulation, and for patients with several images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import DataError
from imaging.evaluation.calibration import fit_temperature
from imaging.evaluation.conformal import coverage_limits, fit_conformal, fit_novelty, patient_quantile
from imaging.models.calibration_map import calibrated
from imaging.models.prediction_set import in_set, prediction_set

CLASSES = ("covid", "normal", "pneumonia")


def answers(rng: np.random.Generator, count: int, *, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes and labels drawn from them."""
    logits = rng.normal(size=(count, 3)) * sharpness
    rows = calibrated(logits, 1.0)
    return rows, (rows.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)


def alone(count: int) -> np.ndarray:
    return np.arange(count)


def test_the_quantile_is_the_one_worked_by_hand() -> None:
    scores = np.array([0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.4, 0.6, 0.8])
    assert patient_quantile(scores, alone(9), level=0.9) == 0.9  # ceil(0.9 * 10) = the 9th of 9
    assert patient_quantile(scores, alone(9), level=0.5) == 0.5  # the 5th
    assert patient_quantile(scores, alone(9), level=0.91) == np.inf


def test_a_patient_weighs_one_however_many_images_they_have() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    patients = np.array(["a", "b", "c", *"dddddd"])
    assert patient_quantile(scores, patients, level=0.6) == 0.3
    assert patient_quantile(scores, alone(9), level=0.6) == 0.9
    mixed = np.array(["a", "a", "b", "b"])  # reached: 1/2, 1, 3/2, 2 of 3
    assert patient_quantile(np.array([0.1, 0.2, 0.3, 0.4]), mixed, level=0.5) == 0.3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_sets_are_mapies_but_for_the_most_probable_class(level: float) -> None:
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """Takes the probabilities themselves for images."""

        def fit(self, rows: np.ndarray, labels: np.ndarray) -> "Given":
            self.classes_ = np.unique(labels)
            return self

        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            return rows

        def predict(self, rows: np.ndarray) -> np.ndarray:
            return rows.argmax(axis=1)

    rng = np.random.default_rng(0)
    (rows, labels), (fresh, _) = answers(rng, 150), answers(rng, 200)
    known = Given().fit(rows, labels)
    theirs = SplitConformalClassifier(known, confidence_level=level, conformity_score="lac", prefit=True)
    _, sets = theirs.conformalize(rows, labels).predict_set(fresh)
    sets = sets[:, :, 0]
    sets[np.arange(len(fresh)), fresh.argmax(axis=1)] = True
    rule = fit_conformal(rows, labels, alone(150), classes=CLASSES, level=level)
    np.testing.assert_array_equal(in_set(fresh, rule.quantile), sets)


def test_the_temperature_fitted_on_the_same_part_does_not_cost_coverage() -> None:
    rng = np.random.default_rng(1)
    covered: dict[str, list[float]] = {"same": [], "known": []}
    for _ in range(300):
        rows, labels = answers(rng, 120)
        fresh, truth = answers(rng, 400)
        logits = 2.5 * np.log(rows)
        fitted = fit_temperature(logits, labels).temperature
        for name, temperature in (("same", fitted), ("known", 2.5)):
            rule = fit_conformal(calibrated(logits, temperature), labels, alone(120), classes=CLASSES)
            scores = 1 - calibrated(2.5 * np.log(fresh), temperature)[np.arange(400), truth]
            covered[name].append((scores <= rule.quantile).mean())
    means = {name: float(np.mean(values)) for name, values in covered.items()}
    # The standard error of a mean over 300 draws is 0.0018.
    assert means["known"] == pytest.approx(0.9, abs=0.01)
    assert means["same"] > 0.895
    assert abs(means["same"] - means["known"]) < 0.005


def test_a_promise_to_patients_holds_though_some_have_many_alike_images() -> None:
    rng, covered, by_image = np.random.default_rng(2), [], []
    for _ in range(400):
        hardness = rng.random(60)
        counts = np.where(hardness > 0.8, 8, 1)
        patients = np.repeat(np.arange(60), counts)
        scores = np.clip(hardness[patients] + rng.normal(0, 0.02, len(patients)), 0, 1)
        new = rng.random(200) + rng.normal(0, 0.02, 200)
        covered.append((new.clip(0, 1) <= patient_quantile(scores, patients, level=0.9)).mean())
        by_image.append((new.clip(0, 1) <= patient_quantile(scores, alone(len(scores)), level=0.9)).mean())
    assert np.mean(covered) == pytest.approx(0.91, abs=0.012)
    assert np.mean(by_image) > 0.94


def test_a_quantile_for_each_class_keeps_the_promise_to_the_hard_one() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 400)
    rows = np.full((1200, 3), 0.0)
    own = np.where(labels == 2, rng.beta(2, 2, 1200), rng.beta(12, 1, 1200))
    rows[:] = ((1 - own) / 2)[:, None]
    rows[np.arange(1200), labels] = own
    fit, test = np.arange(1200) % 2 == 0, np.arange(1200) % 2 == 1
    rule = fit_conformal(rows[fit], labels[fit], alone(600), classes=CLASSES)
    quantiles = np.array([rule.class_quantiles[name] for name in CLASSES])
    marginal, conditional = in_set(rows[test], rule.quantile), in_set(rows[test], quantiles)
    hard = labels[test] == 2
    assert marginal[hard, 2].mean() < 0.82
    assert conditional[hard, 2].mean() > 0.86
    assert rule.class_patients == dict.fromkeys(CLASSES, 200)


def test_too_few_patients_rule_nothing_out() -> None:
    rng = np.random.default_rng(4)
    rows, labels = answers(rng, 8)
    rule = fit_conformal(rows, labels, alone(8), classes=CLASSES)
    assert rule.quantile == 1.0
    assert in_set(rows, rule.quantile).all()
    assert coverage_limits(0.9, 8, 50) == (1.0, 1.0)


def test_a_set_names_the_most_probable_class_first_and_is_never_empty() -> None:
    rng = np.random.default_rng(5)
    rule = fit_conformal(*answers(rng, 100), alone(100), classes=CLASSES)
    narrow = rule.model_copy(update={"quantile": 0.0})
    assert prediction_set(np.array([0.2, 0.3, 0.5]), CLASSES, narrow) == ("pneumonia",)
    wide = rule.model_copy(update={"quantile": 0.75})
    assert prediction_set(np.array([0.2, 0.3, 0.5]), CLASSES, wide) == ("pneumonia", "normal")


@given(st.integers(0, 10_000), st.floats(0.5, 0.94), st.floats(0.01, 0.05))
@settings(max_examples=30, deadline=None)
def test_a_higher_promise_never_makes_a_set_smaller(seed: int, level: float, more: float) -> None:
    rng = np.random.default_rng(seed)
    rows, labels = answers(rng, 60)
    low, high = (fit_conformal(rows, labels, alone(60), classes=CLASSES, level=one) for one in (level, level + more))
    assert (in_set(rows, low.quantile) <= in_set(rows, high.quantile)).all()


def test_coverage_stays_within_its_limits_in_19_of_20_splits() -> None:
    rng, inside = np.random.default_rng(6), 0
    low, high = coverage_limits(0.9, 90, 150)
    for _ in range(1000):
        quantile = patient_quantile(rng.random(90), alone(90), level=0.9)
        inside += low <= (rng.random(150) <= quantile).mean() <= high
    assert inside / 1000 == pytest.approx(0.955, abs=0.02)
    wider = coverage_limits(0.9, 20, 150)
    assert wider[0] < low < 0.9 < high < wider[1]


def test_a_threshold_for_unlike_images_is_the_largest_score_where_patients_are_few() -> None:
    rule = fit_novelty(np.array([1.0, 1.4, 1.2]), np.array(["a", "b", "b"]))
    assert (rule.threshold, rule.patients) == (1.4, 2)
    many = fit_novelty(np.linspace(1, 2, 200), alone(200))
    assert many.threshold == pytest.approx(1.98, abs=0.01)


@pytest.mark.parametrize("rows", [np.empty((0, 3)), np.full((2, 3), np.nan)])
def test_no_image_and_no_number_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected finite probabilities"):
        fit_conformal(rows, np.zeros(len(rows), dtype=np.int64), alone(len(rows)), classes=CLASSES)
