from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, DataError, ModelPackageError
from imaging.inference import Predictor, triage
from imaging.models.calibration_map import calibrated
from imaging.models.directory import ModelInfo, save_model
from imaging.models.uncertainty_rules import ConformalRule, NoveltyRule
from tests.imaging.training.factories import living_network

SIZE = 48
INFO = ModelInfo(
    recipe="tiny",
    architecture="mobilenet_v2",
    classes=("normal", "pneumonia", "covid"),
    input=InputConfig(size=32),
    packed_size=SIZE,
    critical_classes=("pneumonia", "covid"),
    operating_points={"pneumonia": 0.3, "covid": 0.2},
    temperature=1.5,
)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("model")
    save_model(directory, living_network(), INFO)
    return Predictor.load(directory)


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


def test_an_answer_does_not_depend_on_its_batch(predictor: Predictor) -> None:
    images = _images(40)
    together = predictor.probabilities(images)
    assert together.std(axis=0).min() > 1e-3
    for index in (0, 17, 31, 32, 39):
        np.testing.assert_allclose(predictor.probabilities(images[index : index + 1])[0], together[index], atol=1e-5)
    np.testing.assert_allclose(predictor.probabilities(images[::-1]), together[::-1], atol=1e-5)


def test_predictions_are_the_calibrated_probabilities_of_the_logits(predictor: Predictor) -> None:
    images = _images(3)
    logits, probabilities = predictor.logits(images), predictor.probabilities(images)
    assert (logits.dtype, probabilities.dtype) == (np.float32, np.float64)
    expected = torch.softmax(torch.from_numpy(logits).double() / 1.5, 1).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-12)
    for answer, row in zip(predictor.predict(images), expected, strict=True):
        assert list(answer.probabilities) == list(INFO.classes)
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=1e-7)
        assert answer.prediction == INFO.classes[row.argmax()]
        assert answer.entropy_nats == pytest.approx(-(row * np.log(row)).sum())
        assert answer.heat_map is None


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_a_heat_map_fits_the_packed_image_and_changes_no_answer(predictor: Predictor, method: str) -> None:
    images = _images(2)
    plain, explained = predictor.predict(images), predictor.predict(images, explain=method)
    for first, second in zip(plain, explained, strict=True):
        assert first.probabilities == pytest.approx(second.probabilities, abs=1e-7)
        assert second.heat_map is not None
        assert second.heat_map.shape == (SIZE, SIZE)
        assert second.heat_map.dtype == np.float32
        assert 0 <= second.heat_map.min() <= second.heat_map.max() <= 1


def test_no_images_get_no_answers(predictor: Predictor) -> None:
    assert predictor.predict(_images(0)) == []
    assert predictor.probabilities(_images(0)).shape == (0, 3)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 32, 32), np.uint8), np.zeros((1, SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.uint8)]
)
def test_images_not_packed_for_this_model_are_refused(predictor: Predictor, images: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected images \(N, 48, 48\) of uint8, got"):
        predictor.predict(images)


def test_an_unknown_explanation_and_uneven_lists_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ConfigurationError, match="there are: none, grad-cam"):
        predictor.predict(_images(1), explain="lime")
    with pytest.raises(ConfigurationError, match="2 images came with 1 views"):
        predictor.predict(_images(2), views=["PA"])


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelPackageError, match=r"no readable model\.json"):
        Predictor.load(tmp_path)


@given(logits=hnp.arrays(np.float32, (4, 3), elements=st.floats(-500, 500, width=32)), temperature=st.floats(0.05, 20))
def test_probabilities_sum_to_one_and_keep_the_order_of_the_logits(logits: np.ndarray, temperature: float) -> None:
    rows = calibrated(logits, temperature)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)
    assert (np.take_along_axis(rows, logits.argmax(1)[:, None], 1)[:, 0] == rows.max(1)).all()


@pytest.mark.parametrize(
    ("row", "view", "warnings", "reasons"),
    [
        ([0.9, 0.05, 0.05], "PA", (), ()),
        ([0.9, 0.05, 0.05], None, (), ()),
        ([0.05, 0.9, 0.05], "ap", (), ()),
        ([0.65, 0.32, 0.03], "PA", (), ("ambiguous_set",)),
        ([0.05, 0.7, 0.25], "PA", (), ("ambiguous_set",)),
        ([0.45, 0.4, 0.15], "PA", (), ("ambiguous_set", "low_confidence")),
        ([0.9, 0.05, 0.05], "", (), ("view_unknown",)),
        ([0.9, 0.05, 0.05], "PA", ("window_missing",), ()),
        ([0.9, 0.05, 0.05], "PA", ("low_resolution",), ("image_quality",)),
    ],
)
def test_triage_refers_what_is_unsure(
    row: list[float], view: str | None, warnings: tuple[str, ...], reasons: tuple[str, ...]
) -> None:
    assert triage(np.array(row), INFO, view=view, warnings=warnings) == reasons


def test_a_critical_class_that_is_not_predicted_refers_though_the_predicted_one_is_below_its_own_point() -> None:
    points = {"pneumonia": 0.7, "covid": 0.2}
    info = INFO.model_copy(update={"operating_points": points, "confidence_floor": 0.6})
    assert triage(np.array([0.02, 0.65, 0.33]), info) == ("ambiguous_set",)


@given(row=hnp.arrays(np.float64, 3, elements=st.floats(0, 1)))
def test_whatever_is_reported_has_no_other_critical_class_at_its_operating_point(row: np.ndarray) -> None:
    if triage(row, INFO) == ():
        others = set(INFO.critical_classes) - {INFO.classes[int(row.argmax())]}
        assert all(row[INFO.classes.index(name)] < INFO.operating_points[name] for name in others)


@pytest.mark.parametrize("row", [[np.nan] * 3, [0.9, np.nan, 0.1]])
def test_a_probability_that_is_no_number_is_referred(row: list[float]) -> None:
    assert "low_confidence" in triage(np.array(row), INFO)


@pytest.mark.parametrize(
    ("row", "novelty", "reasons"),
    [
        ([0.94, 0.03, 0.03], 1.2, ()),
        ([0.78, 0.17, 0.05], 1.2, ("ambiguous_set",)),
        ([0.94, 0.03, 0.03], 1.6, ("out_of_distribution",)),
        ([0.94, 0.03, 0.03], np.nan, ("out_of_distribution",)),
        ([0.45, 0.30, 0.25], 9.0, ("ambiguous_set", "low_confidence", "out_of_distribution")),
        ([0.94, 0.03, 0.03], None, ()),
    ],
)
def test_a_set_of_several_classes_and_an_image_unlike_the_training_images_are_referred(
    row: list[float], novelty: float | None, reasons: tuple[str, ...]
) -> None:
    rules = {
        "conformal": ConformalRule(level=0.9, quantile=0.85, patients=50),
        "out_of_distribution": NoveltyRule(threshold=1.5, level=0.98, patients=50),
        "operating_points": {},
    }
    assert triage(np.array(row), INFO.model_copy(update=rules), novelty=novelty) == reasons


def test_a_model_without_operating_points_still_refers_low_confidence(predictor: Predictor) -> None:
    info = INFO.model_copy(update={"operating_points": {}})
    assert triage(np.array([0.4, 0.35, 0.25]), info) == ("low_confidence",)


def test_each_image_gets_its_own_view_and_warnings(predictor: Predictor) -> None:
    first, second = predictor.predict(_images(2), views=["PA", ""], warnings=[["polarity_suspect"], []])
    assert "image_quality" in first.reasons
    assert "view_unknown" not in first.reasons
    assert "view_unknown" in second.reasons
    assert "image_quality" not in second.reasons
