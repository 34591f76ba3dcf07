"""Which way to calibrate is chosen, that each is fitted as others fit it, and that all of the platform applies it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from imaging.errors import ModelPackageError
from imaging.evaluation import calibrate_on_disk, evaluate_on_disk
from imaging.evaluation.calibration import fit_isotonic, fit_vector
from imaging.evaluation.calibration_choice import choose_calibration, folds_of, likelihood_loss
from imaging.evaluation.schema import Evaluation
from imaging.inference import Predictor
from imaging.models.calibration_map import CalibrationRule, Curve, calibrated
from imaging.models.directory import load_info, replace_info
from tests.imaging.evaluation.conftest import Finished


def drawn(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated logits and the labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, 3)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return logits, labels.astype(np.int64)


def alone(count: int) -> np.ndarray:
    return np.array([f"{index:08x}" for index in range(count)])


def bent(logits: np.ndarray) -> np.ndarray:
    """Logits whose softmax is a monotone curve of the true probability that no scale and shift straighten."""
    wrong = np.clip(0.5 + 0.5 * np.tanh(8 * (softmax(logits, axis=1) - 0.5)), 1e-6, 1)
    return np.log(wrong)


@pytest.mark.parametrize(
    ("distort", "images", "expected"),
    [
        (lambda logits: logits, 3000, ("none", "temperature")),
        (lambda logits: logits * 2.5, 3000, ("temperature",)),
        (lambda logits: logits * 2.5, 90, ("temperature",)),
        (lambda logits: logits * [2.0, 1.0, 0.5] + [1.5, 0.0, -1.5], 3000, ("vector",)),
        (bent, 12000, ("isotonic",)),
    ],
)
def test_the_simplest_way_that_undoes_a_distortion_is_chosen(distort, images, expected):
    logits, labels = drawn(images)
    choice = choose_calibration(distort(logits), labels, alone(images))
    assert choice.method in expected
    assert [one.method for one in choice.tried if one.chosen] == [choice.method]
    before, after = softmax(distort(logits), axis=1), choice.fitted.probabilities(distort(logits))
    assert likelihood_loss(after, labels) <= likelihood_loss(before, labels)


def test_few_patients_leave_the_greedy_ways_untried_and_say_so():
    logits, labels = drawn(45)
    choice = choose_calibration(logits * [3, 1, 0.3], labels, alone(45))
    tried = {one.method: one for one in choice.tried}
    assert tried["vector"].nll is None
    assert "asks for 20 of every class" in tried["vector"].why
    assert "asks for 100 of every class" in tried["isotonic"].why
    assert choice.method in ("none", "temperature")


def test_many_images_of_few_patients_are_few():
    logits, labels = drawn(3000)
    choice = choose_calibration(logits, labels, np.array([f"{label}-{n % 5}" for n, label in enumerate(labels)]))
    assert [one.nll is None for one in choice.tried] == [False, False, True, True]


@given(st.integers(0, 10_000), st.integers(3, 60))
@settings(max_examples=40, deadline=None)
def test_no_patient_is_in_two_folds_and_the_order_of_images_changes_nothing(seed, images):
    rng = np.random.default_rng(seed)
    patients = np.array([f"{one:04x}" for one in rng.integers(0, 20, images)])
    labels = np.array([int(patient, 16) % 3 for patient in patients])
    fold, order = folds_of(labels, patients), rng.permutation(images)
    assert all(len(set(fold[patients == one])) == 1 for one in set(patients))
    assert np.array_equal(folds_of(labels[order], patients[order]), fold[order])


@pytest.mark.parametrize("images", [3, 8, 30])
def test_a_tiny_part_still_gets_some_calibration(images):
    logits, labels = drawn(images, seed=3)
    choice = choose_calibration(logits, labels, alone(images))
    assert np.isfinite(choice.held_out).all()
    assert choice.fitted.temperature > 0


def test_what_could_learn_single_patients_is_held_out_from_them():
    logits, labels = drawn(12000)
    choice = choose_calibration(bent(logits), labels, alone(12000))
    inside = choice.fitted.probabilities(bent(logits))
    assert not np.allclose(choice.held_out, inside)
    assert np.abs(choice.held_out - inside).max() < 0.1
    few = choose_calibration(logits[:90] * 3, labels[:90], alone(90))
    assert np.array_equal(few.held_out, few.fitted.probabilities(logits[:90] * 3))


def test_scales_and_shifts_are_those_that_another_optimizer_finds():
    logits, labels = drawn(400, seed=5)
    distorted = logits * [2.0, 1.0, 0.5] + [1.0, 0.0, -1.0]

    def loss(values: np.ndarray) -> float:
        log_p = log_softmax(distorted * values[:3] + values[3:], axis=1)
        prior = ((values - np.r_[np.ones(3), np.zeros(3)]) ** 2).sum() / (2 * len(labels))
        return float(-log_p[np.arange(len(labels)), labels].mean() + prior)

    reference = minimize(loss, np.r_[np.ones(3), np.zeros(3)], method="BFGS", options={"gtol": 1e-7})
    rule = fit_vector(distorted, labels)
    assert loss(np.r_[rule.scale, rule.shift]) <= reference.fun + 1e-7
    assert np.r_[rule.scale, rule.shift] == pytest.approx(reference.x, abs=2e-2)


def test_curves_are_scikit_learns_between_their_knots_and_beyond():
    logits, labels = drawn(500, seed=2)
    rule, plain = fit_isotonic(logits, labels), softmax(logits, axis=1)
    fresh = softmax(drawn(300, seed=9)[0] * 3, axis=1)
    for place, curve in enumerate(rule.curves):
        reference = IsotonicRegression(y_min=1 / 502, y_max=501 / 502, out_of_bounds="clip").fit(
            plain[:, place], labels == place
        )
        assert np.interp(fresh[:, place], curve.confidence, curve.share) == pytest.approx(
            reference.predict(fresh[:, place]), abs=1e-12
        )


RULES = st.one_of(
    st.builds(
        lambda scale, shift: CalibrationRule(method="vector", scale=scale, shift=shift),
        st.tuples(*[st.floats(0.1, 5)] * 3),
        st.tuples(*[st.floats(-3, 3)] * 3),
    ),
    st.builds(
        lambda seed: fit_isotonic(*drawn(40, seed=seed)),
        st.integers(0, 1000),
    ),
    st.just(CalibrationRule(method="isotonic", curves=(Curve(confidence=(0.0, 1.0), share=(0.0, 0.0)),) * 3)),
    st.none(),
)


@given(RULES, st.integers(0, 1000), st.floats(0.02, 50))
@settings(max_examples=80, deadline=None)
def test_probabilities_sum_to_one_whatever_the_rule_and_the_logits(rule, seed, temperature):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(20, 3)) * 10.0 ** rng.integers(-2, 4)).astype(np.float32)
    found = calibrated(logits, temperature, rule)
    assert found.dtype == np.float64
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-9)
    together = calibrated(logits[::-1], temperature, rule)[::-1]
    assert np.array_equal(found, together)


@pytest.mark.parametrize(
    "rule",
    [
        {"method": "vector", "scale": [1, 1]},
        {"method": "vector"},
        {"method": "isotonic", "scale": [1], "shift": [0]},
        {"method": "isotonic", "curves": [{"confidence": [0.5, 0.4], "share": [0, 1]}]},
        {"method": "isotonic", "curves": [{"confidence": [0.1, 0.4], "share": [1, 0]}]},
        {"method": "isotonic", "curves": [{"confidence": [0.1, 0.4], "share": [1]}]},
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule):
    with pytest.raises(ValidationError):
        CalibrationRule.model_validate(rule)


RULE = {"method": "vector", "scale": (1.0, 2.0, 0.5), "shift": (0.5, 0.0, -0.5)}


def test_a_model_calibrated_class_by_class_answers_alike_everywhere(finished: Finished, tmp_path: Path):
    model = tmp_path / "model"
    replace_info(finished.calibrated, model, calibration=RULE)
    info, predictor = load_info(model), Predictor.load(model)
    assert info.calibration_method == "vector"
    evaluation = evaluate_on_disk(model, finished.dataset, finished.split, tmp_path / "out", resamples=20)
    assert evaluation.calibration.method == "vector"
    assert evaluation.export.files[0].largest_difference < 1e-4
    import pyarrow.parquet as pq

    from imaging.data.dataset import load_dataset

    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pydict()
    images = np.asarray(load_dataset(finished.dataset).images[table["index"]])
    ours = np.stack([table[f"p_{name}"] for name in info.classes], axis=1)
    assert predictor.probabilities(images) == pytest.approx(ours, abs=1e-6)
    answers = predictor.predict(images[:8], explain="grad-cam")
    assert [one.prediction for one in answers] == [info.classes[row.argmax()] for row in ours[:8]]
    assert "a scale and a shift a class" in (tmp_path / "out" / "evaluation.html").read_text()


def test_a_rule_for_other_classes_is_no_model(finished: Finished, tmp_path: Path):
    with pytest.raises(ModelPackageError, match="classes are calibrated"):
        replace_info(finished.calibrated, tmp_path / "model", calibration={**RULE, "scale": (1.0,), "shift": (0.0,)})


def test_a_model_of_before_is_read_and_keeps_its_answers(finished: Finished, tmp_path: Path):
    content = json.loads((finished.calibrated / "model.json").read_text())
    for name in ("calibration", "calibration_tried", "operating_point_options", "operating_rule"):
        del content[name]
    old = tmp_path / "old"
    old.mkdir()
    for file in finished.calibrated.iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    (old / "model.json").write_text(json.dumps(content))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    expected = Predictor.load(finished.calibrated).probabilities(images)
    assert np.array_equal(Predictor.load(old).probabilities(images), expected)


def test_the_report_shows_every_method_and_how_it_did(finished: Finished, tmp_path: Path):
    found = calibrate_on_disk(finished.model, finished.dataset, finished.split, tmp_path / "out")
    evaluation = Evaluation.model_validate_json((finished.evaluation / "evaluation.json").read_text())
    assert [one.method for one in evaluation.calibration.tried] == ["none", "temperature", "vector", "isotonic"]
    assert found.method == evaluation.calibration.method
    html = (finished.evaluation / "evaluation.html").read_text()
    assert "How the way to calibrate was chosen" in html
    assert all(one.why.split(":")[0] in html for one in evaluation.calibration.tried)
