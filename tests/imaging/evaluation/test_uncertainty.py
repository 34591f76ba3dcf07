"""The section on uncertainty: selective accuracy by hand, coverage by patients, triage, probes, the gate's limits."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.data.dataset import load_dataset
from imaging.errors import ModelPackageError
from imaging.evaluation.coverage_gate import check_coverage
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.gate import Evidence, GateRow
from imaging.evaluation.identity import answers_digest
from imaging.evaluation.metrics import one_weighting
from imaging.evaluation.probes import PROBES
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.schema import Evaluation
from imaging.evaluation.selective import accuracy_at, risk_area
from imaging.evaluation.uncertainty import measure_coverage, measure_risk_coverage
from imaging.evaluation.uncertainty_plot import draw_risk_coverage
from imaging.inference import Predictor
from imaging.models.directory import load_info, replace_info
from imaging.models.novelty import NOVELTY_FILE
from imaging.models.uncertainty_rules import ConformalRule
from tests.imaging.evaluation.factories import calibrated_answers
from tests.imaging.evaluation.sure import kept_promise

ROW = GateRow(name="coverage", bound=0.9, owner="o", why="w")


def test_the_area_under_the_risk_is_the_number_worked_by_hand() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    wrong = np.array([False, True, False, True])
    assert risk_area(confidence, wrong, one_weighting(4))[0] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    kept = accuracy_at(confidence, wrong, one_weighting(4), np.array([0.25, 0.5, 0.6, 1.0]))
    assert kept[0] == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_answers_that_are_equally_sure_cannot_be_told_apart_and_copies_weigh_as_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong, confidence = rng.random(12) < 0.4, rng.integers(0, 4, 12) / 4
    alike = np.full(12, 0.5)
    assert risk_area(alike, wrong, one_weighting(12))[0] == pytest.approx(wrong.mean())
    counts = rng.integers(1, 4, 12)
    copies = np.repeat(np.arange(12), counts)
    once = risk_area(confidence, wrong, counts[np.newaxis].astype(float))
    assert once == pytest.approx(risk_area(confidence[copies], wrong[copies], one_weighting(len(copies))))


def test_a_model_sure_where_it_is_right_gains_by_referring() -> None:
    found = measure_risk_coverage(calibrated_answers(resamples=50))
    accuracies = [one.accuracy.value for one in found.points]
    assert accuracies[0] > 0.95 > accuracies[-1]
    assert found.best_area < found.area.low < found.area.value < 1 - accuracies[-1]


def test_each_patient_weighs_one_in_coverage() -> None:
    rows = np.array([[0.9, 0.05, 0.05]] * 3 + [[0.05, 0.9, 0.05]])
    answers = Answers(
        before=rows,
        probabilities=rows,
        labels=np.array([0, 0, 0, 0]),
        patients=np.array(["many", "many", "many", "one"]),
        classes=("covid", "normal", "pneumonia"),
        resamples=20,
    )
    found = measure_coverage(answers, ConformalRule(level=0.9, quantile=0.5, patients=50))
    assert found.marginal.coverage.value == 0.5
    assert found.single.value == 1.0
    assert found.per_class["normal"].coverage.value is None


@pytest.mark.parametrize(
    ("coverage", "calibrated", "passed"), [(0.83, 60, True), (0.83, 5000, False), (0.99, 5000, True)]
)
def test_coverage_fails_only_below_what_chance_explains(
    good: Evaluation, coverage: float, calibrated: int, passed: bool
) -> None:
    document = kept_promise().model_dump()
    document["coverage"] |= {"calibration_patients": calibrated}
    document["coverage"]["marginal"]["coverage"]["value"] = coverage
    judged = Evaluation.model_validate({**good.model_dump(), "uncertainty": document})
    verdict = check_coverage(Evidence(evaluation=judged, package=Path()), ROW)
    assert verdict.passed is passed
    assert ("above it" in verdict.reason) is (coverage == 0.99)


def test_calibration_makes_a_model_that_tells_unlike_images_and_answers_with_sets(finished) -> None:
    info, data = load_info(finished.calibrated), load_dataset(finished.dataset)
    assert info.conformal.level == 0.9
    assert set(info.conformal.class_quantiles) == set(info.classes)
    predictor = Predictor.load(finished.calibrated)
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    known, strange = predictor.predict(np.asarray(data.images[:30])), predictor.predict(noise)
    assert all("out_of_distribution" in one.reasons for one in strange)
    assert sum("out_of_distribution" in one.reasons for one in known) <= 3
    for one in known:
        assert one.prediction_set[0] == one.prediction
        assert len(one.prediction_set) == 1 or "ambiguous_set" in one.reasons
        assert one.mutual_information_nats >= 0


def test_the_evaluation_says_how_sure_the_model_is(finished) -> None:
    found = Evaluation.model_validate_json((finished.evaluation / "evaluation.json").read_text()).uncertainty
    assert found.coverage.marginal.n_patients == found.sampled
    assert {one.name for one in found.novelty.probes} == set(PROBES)
    assert {one.name: one.referred for one in found.novelty.probes}["noise"] == 1.0
    assert found.triage.accuracy_reported.value > found.triage.accuracy_referred.value
    html = (finished.evaluation / "evaluation.html").read_text()
    assert "How sure it is" in html
    assert draw_risk_coverage(found.risk_coverage, found.triage) == draw_risk_coverage(
        found.risk_coverage, found.triage
    )


def test_a_model_of_an_earlier_release_answers_as_before_and_keeps_its_digest(finished, tmp_path: Path) -> None:
    old = json.loads((finished.model / "model.json").read_text())
    assert (old.pop("conformal"), old.pop("out_of_distribution")) == (None, None)
    digest = answers_digest(finished.model)
    (replaced := tmp_path / "old").mkdir()
    (replaced / "model.safetensors").write_bytes((finished.model / "model.safetensors").read_bytes())
    (replaced / "model.json").write_text(json.dumps(old))
    assert answers_digest(replaced) == digest
    answer = Predictor.load(replaced).predict(np.zeros((1, 32, 32), np.uint8))[0]
    assert (answer.prediction_set, answer.novelty) == ((), None)
    assert "out_of_distribution" not in answer.reasons


def test_a_model_without_its_reference_is_refused_and_another_reference_is_another_model(finished, tmp_path) -> None:
    replace_info(finished.calibrated, tmp_path / "spoilt", added={NOVELTY_FILE: b"x"})
    assert answers_digest(tmp_path / "spoilt") != answers_digest(finished.calibrated)
    (tmp_path / "spoilt" / NOVELTY_FILE).unlink()
    with pytest.raises(ModelPackageError, match="no readable out_of_distribution"):
        Predictor.load(tmp_path / "spoilt")


@pytest.mark.parametrize("shape", [(5, 32, 32), (5, 32, 32, 3)])
@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_of_the_models_shape_and_repeats_itself(name: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 200, shape, dtype=np.uint8)
    one, other = (PROBES[name](images, np.random.default_rng(3)) for _ in range(2))
    assert (one.shape, one.dtype) == (shape, np.uint8)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, images)


def test_a_sample_holds_every_class_as_often_as_it_can() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = np.arange(1000)
    chosen = sample_evenly(rows, labels, 100)
    assert np.bincount(labels[chosen]) == pytest.approx([60, 30, 10], abs=1)
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(sample_evenly(rows[:50], labels, 100), rows[:50])


def test_a_photograph_is_referred_by_a_model_of_radiographs(finished, real_data: Path) -> None:
    from PIL import Image

    files = sorted((real_data / "flowers").rglob("*.jpg"))[:8] or sorted((real_data / "catsdogs").rglob("*.jpg"))[:8]
    if not files:
        pytest.skip("no pictures of flowers, cats or dogs in the shared data")
    images = np.stack([np.asarray(Image.open(file).convert("L").resize((32, 32))) for file in files])
    found = Predictor.load(finished.calibrated).predict(images)
    assert np.mean([one.decision == "refer" for one in found]) > 0.7
