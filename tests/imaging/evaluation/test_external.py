"""A second dataset beside the test part: its figures, and what is lost against one's own."""

from dataclasses import replace

import numpy as np
import pytest

from imaging.errors import DataError
from imaging.evaluation import Evaluation, evaluate_external_on_disk, evaluate_on_disk
from imaging.evaluation.external import compare_sets
from imaging.evaluation.schema import Figure
from tests.imaging.evaluation.factories import calibrated_answers, write_small_dataset


def test_the_same_quality_elsewhere_loses_nothing_beyond_chance_and_half_the_answers_wrong_does():
    here, there = calibrated_answers(images=900), calibrated_answers(images=600, seed=5)
    same = compare_sets(here, there, dataset="sha256:x", temperature=2.0)
    assert same.macro_auroc_drop.low < 0 < same.macro_auroc_drop.high
    assert (same.n_images, same.n_patients, sum(same.images_per_class.values())) == (600, 300, 600)
    labels = np.where(np.arange(600) % 2, there.labels, (there.labels + 1) % 3)
    worse = compare_sets(here, replace(there, labels=labels), dataset="sha256:x", temperature=2.0)
    assert worse.macro_auroc_drop.low > 0.05
    assert worse.balanced_accuracy_drop.low > 0.05
    assert worse.calibration_error.value > same.calibration_error.value


def test_a_set_without_a_class_has_no_figure_over_all_classes():
    there = calibrated_answers(images=300, seed=1)
    found = compare_sets(
        calibrated_answers(), replace(there, labels=there.labels % 2), dataset="sha256:x", temperature=2.0
    )
    assert found.lacking == ("pneumonia",)
    assert found.macro_auroc == found.macro_auroc_drop == Figure(value=None)


def test_the_report_holds_the_figures_of_an_evaluation_of_that_set_alone(finished, tmp_path):
    other = write_small_dataset(tmp_path / "other", patients=60, seed=9)
    found = evaluate_on_disk(
        finished.calibrated, finished.dataset, finished.split, tmp_path / "out", external=other, resamples=60
    )
    alone = evaluate_external_on_disk(finished.calibrated, other, tmp_path / "alone", resamples=60)
    assert found.external.macro_auroc.value == alone.overall.macro_auroc.value
    assert found.external.balanced_accuracy.value == alone.overall.balanced_accuracy.value
    assert found.external.calibration_error.value == alone.calibration.debiased_after.value
    assert alone.external is None
    assert alone.robustness is None
    assert Evaluation.model_validate_json((tmp_path / "out" / "evaluation.json").read_text()) == found
    html = (tmp_path / "out" / "evaluation.html").read_text()
    assert "On another dataset" in html
    assert f"On {found.external.n_images} images" in html
    assert "On another dataset" not in (finished.evaluation / "evaluation.html").read_text()


def test_the_dataset_that_trained_the_model_is_refused_as_another(finished, tmp_path):
    from imaging.models.directory import replace_info

    digests = {"dataset": Evaluation.model_validate_json((finished.evaluation / "evaluation.json").read_text()).digests}
    replace_info(finished.calibrated, tmp_path / "known", digests={"dataset": digests["dataset"]["dataset"]})
    with pytest.raises(DataError, match="trained on this very dataset"):
        evaluate_on_disk(
            tmp_path / "known",
            finished.dataset,
            finished.split,
            tmp_path / "out",
            external=finished.dataset,
            resamples=20,
        )
