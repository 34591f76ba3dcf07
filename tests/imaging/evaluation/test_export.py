"""The export is measured as it lies beside the model, and what answers worse stays out of the package."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from imaging.errors import ConfigurationError
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.export import LARGEST_DIFFERENCE, MOST_LOST, compare, export_of, is_as_good
from imaging.evaluation.export_gate import export_problems
from imaging.evaluation.figure import Figure
from imaging.evaluation.schema import Evaluation
from imaging.evaluation.subject import Subject, answer_test_part, load_subject
from imaging.models.directory import load_info
from imaging.models.onnx_files import FILES
from imaging.packaging.export import export_on_disk, leave_out_unproven
from tests.imaging.evaluation.conftest import Finished
from tests.imaging.evaluation.factories import calibrated_answers


@pytest.fixture(scope="module")
def measured(finished: Finished) -> Evaluation:
    return Evaluation.model_validate_json((finished.evaluation / "evaluation.json").read_text())


def subject_of(model: Path, finished: Finished) -> tuple[Subject, Answers]:
    """A model with its answers."""
    subject = load_subject(model, finished.dataset, finished.split)
    return subject, answer_test_part(subject, resamples=20, seed=0)


def test_each_precision_is_measured_and_fp32_agrees(measured: Evaluation) -> None:
    assert measured.export is not None
    assert [one.precision for one in measured.export.files] == list(FILES)
    exact = measured.export.of("fp32")
    assert exact is not None
    assert exact.largest_difference is not None
    assert exact.largest_difference <= LARGEST_DIFFERENCE
    assert exact.n_images == min(100, measured.n_images)
    assert (exact.same_class, exact.accuracy_change.value, exact.kept) == (1.0, 0.0, True)
    assert measured.export.runtime.startswith("onnxruntime ")


def test_another_networks_export_is_found(finished: Finished, tmp_path: Path) -> None:
    model = shutil.copytree(finished.calibrated, tmp_path / "model")
    (model / FILES["fp32"]).write_bytes((model / FILES["int8"]).read_bytes())
    found = export_of(*subject_of(model, finished))
    assert found is not None
    exact = found.of("fp32")
    assert exact is not None
    assert exact.largest_difference is not None
    assert exact.largest_difference > LARGEST_DIFFERENCE
    assert not exact.kept


def test_a_model_of_an_earlier_release_has_no_section(finished: Finished, tmp_path: Path) -> None:
    model = shutil.copytree(finished.calibrated, tmp_path / "model", ignore=shutil.ignore_patterns("*.onnx"))
    assert export_of(*subject_of(model, finished)) is None


def test_the_package_holds_what_was_kept_and_nothing_else(finished: Finished, measured: Evaluation) -> None:
    assert measured.export is not None
    kept = {one.file for one in measured.export.files if one.kept}
    assert {path.name for path in finished.package.glob("*.onnx")} == kept
    assert export_problems(finished.package, measured) == []


def test_an_exchanged_or_worse_export_in_the_package_is_named(measured: Evaluation, package: Path) -> None:
    assert measured.export is not None
    (package / FILES["fp32"]).write_bytes(b"other")
    assert export_problems(package, measured) == ["model.onnx is not the one that was measured"]
    shutil.copyfile(package / FILES["fp32"], package / FILES["int8"])
    assert len(export_problems(package, measured.model_copy(update={"export": None}))) >= 2
    document = measured.model_dump()
    for one in document["export"]["files"]:
        one["kept"] = False
    (package / FILES["fp32"]).unlink()
    (package / FILES["int8"]).unlink()
    worse = Evaluation.model_validate(document)
    said = "answers worse than the network, and is in the package"
    assert export_problems(package, worse) == [f"{path.name} {said}" for path in package.glob("*.onnx")]


def test_unproven_exports_are_left_out_and_the_exact_one_stays(tmp_path: Path) -> None:
    for file in FILES.values():
        (tmp_path / file).write_bytes(b"x")
    for files, left in (([{"file": FILES["int8"], "kept": True}], {"fp32", "int8"}), ([], {"fp32"})):
        (tmp_path / "evaluation.json").write_text(json.dumps({"export": {"files": files}}))
        leave_out_unproven(tmp_path, tmp_path)
        assert {path.name for path in tmp_path.glob("*.onnx")} == {FILES[name] for name in left}  # type: ignore[index]


def test_an_export_by_chance_is_worse_and_the_same_answers_are_as_good() -> None:
    answers = calibrated_answers(images=300, resamples=100)
    chosen = np.arange(0, 300, 3)
    ours = answers.probabilities[chosen]
    assert is_as_good(compare(ours, ours, answers, chosen))
    assert not is_as_good(compare(ours[:, ::-1], ours, answers, chosen))


@pytest.mark.parametrize("name", list(MOST_LOST))
def test_a_change_that_could_not_be_computed_is_no_proof(name: str) -> None:
    good = dict.fromkeys(MOST_LOST, Figure(value=0.0, low=0.0, high=0.0))
    assert is_as_good(good)
    assert not is_as_good({**good, name: Figure(value=None)})
    assert not is_as_good({**good, name: Figure(value=0.0, low=-MOST_LOST[name] - 0.001, high=0.1)})


def test_exporting_a_package_copies_the_measured_file_with_its_description(finished: Finished, tmp_path: Path) -> None:
    file = export_on_disk(finished.package, tmp_path / "out", "fp32")
    assert file.read_bytes() == (finished.package / FILES["fp32"]).read_bytes()
    assert load_info(tmp_path / "out") == load_info(finished.package)


def test_an_earlier_model_is_exported_anew(finished: Finished, tmp_path: Path) -> None:
    made = export_on_disk(finished.model, tmp_path / "out", "fp32")
    assert made.read_bytes() == (finished.calibrated / FILES["fp32"]).read_bytes()
    with pytest.raises(ConfigurationError, match="give the dataset version and the split"):
        export_on_disk(finished.model, tmp_path / "out", "int8")
    rounded = export_on_disk(finished.model, tmp_path / "out", "int8", dataset=finished.dataset, split=finished.split)
    assert rounded.stat().st_size < made.stat().st_size
