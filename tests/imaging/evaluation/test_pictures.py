"""The path of a model of colour pictures: calibrated, evaluated, packaged, judged; and tested on another dataset."""

import io
import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imaging.data.dataset import load_dataset
from imaging.data.splits import Split, split_on_disk
from imaging.errors import DataError
from imaging.evaluation import (
    Evaluation,
    calibrate_on_disk,
    check_gates_on_disk,
    evaluate_external_on_disk,
    evaluate_on_disk,
)
from imaging.evaluation.plots import draw_confusion
from imaging.evaluation.repacked import Repacked, repacked
from imaging.inference import Predictor
from imaging.models.directory import load_info, replace_info
from imaging.packaging import package_on_disk
from tests.imaging.evaluation.factories import write_small_dataset
from tests.imaging.evaluation.pictures import write_picture_model, write_pictures
from tests.signing import sign

TABLE = Path("pipelines/gates.yaml")


class Run(NamedTuple):
    dataset: Path
    split: Path
    model: Path
    calibrated: Path
    evaluation: Path
    package: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("pictures")
    run = Run(*(root / name for name in ("dataset", "split.json", "model", "calibrated", "evaluation", "package")))
    write_pictures(run.dataset, per_class=240)
    split_on_disk(run.dataset, run.split)
    write_picture_model(run.model, run.dataset, run.split)
    (run.model / "tensorboard").mkdir()
    (run.model / "tensorboard" / "events.out.tfevents.1").write_bytes(b"\x18" + bytes(20))
    calibrate_on_disk(run.model, run.dataset, run.split, run.calibrated)
    evaluate_on_disk(run.calibrated, run.dataset, run.split, run.evaluation, champion=run.calibrated, resamples=60)
    package_on_disk(run.calibrated, run.evaluation, run.dataset, run.split, run.package, extra={"code": "sha256:c"})
    sign(run.package)
    return run


def evaluation_of(run: Run) -> Evaluation:
    return Evaluation.model_validate_json((run.evaluation / "evaluation.json").read_text())


def test_a_picture_has_no_operating_point_and_every_class_is_called_by_argmax(run: Run) -> None:
    assert load_info(run.calibrated).operating_points == {}
    assert {one.decision for one in evaluation_of(run).per_class.values()} == {"argmax"}


def test_the_evaluation_says_what_was_measured_with_intervals(run: Run) -> None:
    found = evaluation_of(run)
    test = Split.load(run.split).parts["test"]
    assert (found.subject, found.test_part, found.n_images, len(found.classes)) == (
        "picture",
        "held_out",
        len(test),
        10,
    )
    assert found.overall.accuracy.low < found.overall.accuracy.value < found.overall.accuracy.high
    assert found.overall.accuracy.value > 0.6
    assert all(one.average_precision.low is not None for one in found.per_class.values())
    assert found.champion.delta_macro_auroc.value == 0


def test_nothing_is_said_about_patients_hospitals_or_doctors(run: Run) -> None:
    found = evaluation_of(run)
    html = (run.evaluation / "evaluation.html").read_text()
    card = (run.package / "model_card.md").read_text()
    assert found.subgroups == ()
    assert found.subgroups_not_recorded == ("sex", "age_band", "view", "site", "manufacturer")
    assert found.source_confounding.border_balanced_accuracy.value is None
    page = re.sub(r"data:image/[^\"]+", "", html)
    assert [word for word in ("patient", "radiolog", "hospital", "lung", "physician", "RANDOM") if word in page] == []
    assert [word for word in ("radiolog", "lung", "physician", "random weights", "(None)") if word in card] == []
    assert "colour pictures" in card


def test_the_sheet_shows_colour_enlarged_as_whole_pixels(run: Run) -> None:
    import base64

    html = (run.evaluation / "evaluation.html").read_text()
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
        for text in re.findall(r"data:image/png;base64,([^\"]+)", html)
    ]
    assert len(pictures) >= 20
    assert {picture.shape for picture in pictures} == {(128, 128, 3)}
    plain = pictures[0]
    assert (plain[::4, ::4].repeat(4, 0).repeat(4, 1) == plain).all()
    assert np.ptp(plain.astype(int), axis=2).max() > 50


def test_the_package_passes_every_gate_that_applies_and_says_which_do_not(run: Run, tmp_path: Path) -> None:
    report = check_gates_on_disk(run.package, run.evaluation, TABLE, tmp_path)
    answers = {result.gate: result.answer for result in report.results}
    assert {gate for gate, answer in answers.items() if answer == "not applicable"} == {
        "critical_sensitivity",
        "robustness",
        "subgroup_gap",
    }
    assert report.passed, [result.reason for result in report.results if result.failed]
    assert answers["evidence"] == "pass"
    evidence = next(result for result in report.results if result.gate == "evidence")
    assert "test images, each a patient of its own" in evidence.reason
    assert "not applicable to a picture" in (tmp_path / "gates.html").read_text()


def test_a_package_that_calls_itself_something_else_than_was_evaluated_fails(run: Run, tmp_path: Path) -> None:
    package = shutil.copytree(run.package, tmp_path / "package")
    info = json.loads((package / "model.json").read_text())
    (package / "model.json").write_text(json.dumps({**info, "subject": "radiograph"}))
    report = check_gates_on_disk(package, run.evaluation, TABLE, tmp_path / "out")
    verdict = next(result for result in report.results if result.gate == "package")
    assert verdict.failed
    assert "not this model" in verdict.reason


def test_the_package_carries_a_colour_image_its_answer_and_the_event_files(run: Run) -> None:
    image = np.asarray(Image.open(run.package / "reference_image.png"))
    answer = json.loads((run.package / "reference_answer.json").read_text())
    again = Predictor.load(run.package).predict(image[np.newaxis])[0]
    assert image.shape == (32, 32, 3)
    assert again.probabilities == pytest.approx(answer["probabilities"], abs=1e-5)
    assert (run.package / "tensorboard" / "events.out.tfevents.1").is_file()
    assert pq.read_table(run.package / "reference_profile.parquet").num_rows > 0


def test_another_dataset_is_tested_as_a_whole(run: Run, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "other", per_class=12, size=48, seed=5)
    found = evaluate_external_on_disk(run.package, other, tmp_path / "out", resamples=60)
    html = (tmp_path / "out" / "evaluation.html").read_text()
    assert (found.n_images, found.test_part) == (120, "external")
    assert found.digests["dataset"] == load_dataset(other).digest
    assert found.overall.accuracy.value > 0.5
    assert "of another dataset than the one that trained the model" in html
    assert "not looked for: an external set" in html
    assert len(pq.read_table(tmp_path / "out" / "predictions.parquet")) == 120


def test_an_external_set_may_lack_classes_but_not_know_others(run: Run, tmp_path: Path) -> None:
    fewer = write_pictures(tmp_path / "fewer", classes=4, per_class=10, seed=6)
    found = evaluate_external_on_disk(run.package, fewer, tmp_path / "out", resamples=60)
    assert found.per_class["kind-9"].auroc.value is None
    assert found.per_class["kind-3"].auroc.value is not None
    assert found.overall.macro_auroc.value is None
    assert found.overall.accuracy.value is not None
    names = {"classes": tuple(f"sort-{n}" for n in range(10))}
    replace_info(run.model, tmp_path / "renamed", **names)
    with pytest.raises(DataError, match=r"expected some of the model's classes sort-0, .*got kind-0"):
        evaluate_external_on_disk(tmp_path / "renamed", fewer, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_dataset_that_trained_the_model_is_no_external_set(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trained on this very dataset version"):
        evaluate_external_on_disk(run.package, run.dataset, tmp_path / "out")


def test_grey_images_are_refused_by_a_model_of_colour_ones(run: Run, tmp_path: Path) -> None:
    grey = write_pictures(tmp_path / "grey", classes=4, per_class=10, channels=1)
    with pytest.raises(DataError, match=r"expected images \(N, 32, 32, 3\) .* trained on colour images"):
        evaluate_external_on_disk(run.package, grey, tmp_path / "out")


def test_an_external_set_of_radiographs_is_not_asked_what_its_training_part_would_tell(finished, tmp_path) -> None:
    other = write_small_dataset(tmp_path / "other", patients=60, seed=3)
    found = evaluate_external_on_disk(finished.calibrated, other, tmp_path / "out", resamples=40)
    assert found.source_confounding.border_balanced_accuracy.value is None
    assert found.n_patients == 60
    assert {group.column for group in found.subgroups} == {"sex", "view"}
    assert found.subgroups_not_recorded == ("age_band", "site", "manufacturer")


def test_an_evaluation_of_an_external_set_is_no_evidence_for_a_package(run: Run, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "other", per_class=40, seed=5)
    evaluate_external_on_disk(run.package, other, tmp_path / "external", resamples=40)
    report = check_gates_on_disk(run.package, tmp_path / "external", TABLE, tmp_path / "gates")
    verdict = next(result for result in report.results if result.gate == "package")
    assert verdict.failed
    assert "external set" in verdict.reason


def test_images_are_resized_when_they_are_asked_for_and_only_then() -> None:
    from imaging.data.transforms import to_square_rgb_uint8

    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)
    small = Repacked(images, 32)
    assert (small.shape, len(small), small.dtype) == ((5, 32, 32, 3), 5, np.uint8)
    np.testing.assert_array_equal(small[np.array([3, 1])][1], to_square_rgb_uint8(images[1], 32))
    assert repacked(images, 48) is images
    assert Repacked(images[..., 0], 16)[:2].shape == (2, 16, 16)


@pytest.mark.parametrize(("count", "texts"), [(3, True), (10, True), (60, False)])
def test_a_confusion_matrix_of_many_classes_stays_a_picture(count: int, texts: bool) -> None:
    matrix = np.eye(count, dtype=np.int64) * 7
    svg = draw_confusion(matrix, classes=tuple(f"class {n}" for n in range(count)))
    width = float(re.search(r'width="([\d.]+)pt"', svg).group(1))
    assert 250 < width <= 620
    assert (svg.count("<use ") > 3 * count) is texts
