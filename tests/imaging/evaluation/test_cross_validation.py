"""Folds put together: held against numbers worked by hand and scikit-learn's."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from imaging.errors import DataError
from imaging.evaluation.cross_validation import summarise_folds_on_disk
from tests.imaging.evaluation.folds import CLASSES, write_fold


def folders(tmp_path: Path, **changes) -> list[Path]:
    return [
        write_fold(tmp_path / str(number), seed=number, first_patient=40 * number, **changes) for number in range(3)
    ]


def pooled(tmp_path: Path) -> pa.Table:
    return pq.read_table(tmp_path / "out" / "predictions.parquet")


def test_mean_and_spread_are_of_the_folds_and_the_pooled_figure_of_all_answers(tmp_path: Path) -> None:
    found = summarise_folds_on_disk(folders(tmp_path), tmp_path / "out", resamples=200)
    area = found.overall["macro_auroc"]
    table = pooled(tmp_path)
    scores = [table[f"p_{name}"].to_numpy() for name in CLASSES]
    truth = np.array(table["label"].to_pylist())
    expected = np.mean([roc_auc_score(truth == name, score) for name, score in zip(CLASSES, scores, strict=True)])

    assert area.mean == pytest.approx(np.mean(area.folds))
    assert area.std == pytest.approx(np.std(area.folds, ddof=1))
    assert area.pooled.value == pytest.approx(expected)
    assert area.pooled.low < area.pooled.value < area.pooled.high
    assert (found.n_images, found.n_patients) == (240, 120)
    assert sorted(set(table["fold"].to_pylist())) == [0, 1, 2]


def test_calls_are_made_at_each_folds_own_operating_point(tmp_path: Path) -> None:
    """With a threshold of 0 in one fold only, every image of that fold is called."""
    low = write_fold(tmp_path / "a", seed=1, operating_points={"covid": 0.0})
    high = write_fold(tmp_path / "b", seed=2, first_patient=40, operating_points={"covid": 1.1})
    found = summarise_folds_on_disk([low, high], tmp_path / "out", resamples=20)
    table = pooled(tmp_path)
    covid = np.array(table["label"].to_pylist()) == "covid"
    first = table["fold"].to_numpy() == 0

    assert found.per_class["covid"]["sensitivity"].pooled.value == pytest.approx(first[covid].mean())
    assert found.per_class["covid"]["specificity"].pooled.value == pytest.approx(1 - first[~covid].mean())


def test_a_figure_that_one_fold_lacks_has_no_mean(tmp_path: Path) -> None:
    places = folders(tmp_path)
    document = json.loads((places[1] / "evaluation.json").read_text())
    document["overall"]["macro_auroc"] = {"value": None}
    (places[1] / "evaluation.json").write_text(json.dumps(document))
    area = summarise_folds_on_disk(places, tmp_path / "out", resamples=20).overall["macro_auroc"]
    assert (area.folds[1], area.mean, area.std) == (None, None, None)
    assert area.pooled.value is not None


def test_the_summary_is_json_a_page_and_a_picture(tmp_path: Path) -> None:
    found = summarise_folds_on_disk(folders(tmp_path), tmp_path / "out", resamples=20)
    kept = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    page = (tmp_path / "out" / "cross_validation.html").read_text()

    assert kept == found.model_dump(mode="json")
    assert page.count("Fold 3") >= 2
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_patient_tested_in_two_folds_is_refused(tmp_path: Path) -> None:
    places = [write_fold(tmp_path / str(number), seed=number, first_patient=39 * number) for number in range(2)]
    with pytest.raises(DataError, match="two folds"):
        summarise_folds_on_disk(places, tmp_path / "out", resamples=20)


def test_folds_of_different_runs_are_refused(tmp_path: Path) -> None:
    places = [write_fold(tmp_path / "a", seed=0), write_fold(tmp_path / "b", seed=1, first_patient=40, recipe="other")]
    with pytest.raises(DataError, match="different recipes"):
        summarise_folds_on_disk(places, tmp_path / "out", resamples=20)
    with pytest.raises(DataError, match="at least two"):
        summarise_folds_on_disk(places[:1], tmp_path / "out", resamples=20)
