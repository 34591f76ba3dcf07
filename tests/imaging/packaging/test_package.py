import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from imaging.data.dataset import load_dataset
from imaging.data.splits import Split
from imaging.data.statistics import STATISTICS
from imaging.errors import DataError, ModelPackageError
from imaging.evaluation.package_gate import card_problems
from imaging.inference import Predictor
from imaging.models.directory import PACKAGE_FILES
from imaging.models.manifest import manifest_problems
from imaging.packaging import load_info, package_digest, package_on_disk, verify_package
from imaging.packaging.closer_looks import figure_text
from imaging.packaging.model_card import render_model_card
from imaging.training.reports import read_report


def pack(run, out, **extra):
    return package_on_disk(run.calibrated, run.evaluation, run.dataset, run.split, out, extra=extra)


def test_a_package_is_complete_and_verifies_by_its_digest(finished):
    digest = package_digest(finished.package)
    assert verify_package(finished.package, digest, required=PACKAGE_FILES).recipe == "mobilenetv2_smoke"
    assert manifest_problems(finished.package) == []


def test_packaging_twice_gives_the_same_digest(finished, tmp_path):
    assert pack(finished, tmp_path / "again", trigger="drift", code="sha256:c") == package_digest(finished.package)


def test_it_carries_where_it_came_from(finished):
    info = load_info(finished.package)
    assert info.trigger == "drift"
    assert info.digests["dataset"] == load_dataset(finished.dataset).digest
    assert info.digests["split"] == Split.load(finished.split).digest
    assert info.digests["code"] == "sha256:c"
    assert info.digests["recipe"] == "sha256:r"
    assert "image" not in info.digests


def test_an_impossible_trigger_leaves_no_package(finished, tmp_path):
    with pytest.raises(ModelPackageError, match="trigger"):
        pack(finished, tmp_path / "out", trigger="whim")
    assert list(tmp_path.iterdir()) == []


def test_the_reference_image_gets_the_reference_answer(finished):
    predictor = Predictor.load(finished.package)
    image = np.asarray(Image.open(io.BytesIO((finished.package / "reference_image.png").read_bytes())))
    assert image.shape == (predictor.info.packed_size,) * 2
    answer = json.loads((finished.package / "reference_answer.json").read_text())
    again = predictor.predict(image[None])[0]
    assert again.prediction == answer["prediction"]
    assert again.probabilities == pytest.approx(answer["probabilities"], abs=1e-5)


def test_the_reference_profile_holds_the_calibration_and_test_parts_and_nothing_about_patients(finished):
    table = pq.read_table(finished.package / "reference_profile.parquet")
    parts = Split.load(finished.split).parts
    assert table.num_rows == len(parts["calibration"]) + len(parts["test"])
    coordinates = [name for name in table.column_names if name.startswith("e_")]
    assert 1 <= len(coordinates) <= 16
    told = ["prediction", "referred", "novelty", *coordinates, "rows", "columns", "modality", "view", "manufacturer"]
    assert table.column_names == [*STATISTICS, "p_covid", "p_normal", "p_pneumonia", *told, "site"]
    data = load_dataset(finished.dataset)
    both = np.concatenate([parts["calibration"], parts["test"]])
    assert np.sort(table.column("mean").to_numpy()) == pytest.approx(np.sort(data.column("mean")[both]))


def test_the_profiles_rows_keep_statistics_and_scores_of_one_image_together(finished):
    table = pq.read_table(finished.package / "reference_profile.parquet").to_pydict()
    data, predictor = load_dataset(finished.dataset), Predictor.load(finished.package)
    index = int(Split.load(finished.split).parts["test"][0])
    row = table["mean"].index(data.column("mean")[index])
    expected = predictor.probabilities(np.asarray(data.images[index : index + 1]))[0]
    assert [table[f"p_{name}"][row] for name in predictor.info.classes] == pytest.approx(expected, abs=1e-5)


def test_predictions_of_another_split_are_refused(finished, tmp_path):
    from imaging.data.splits import split_on_disk

    split_on_disk(finished.dataset, tmp_path / "other.json", seed=9)
    folders = (finished.calibrated, finished.evaluation, finished.dataset, tmp_path / "other.json", tmp_path / "out")
    with pytest.raises(DataError, match="another test part"):
        package_on_disk(*folders, extra={})
    assert not (tmp_path / "out").exists()


def test_the_card_is_complete_by_the_installed_table_and_says_the_loud_things(finished):
    text = (finished.package / "model_card.md").read_text()
    rows = {row["name"]: row for row in yaml.safe_load(Path("pipelines/gates.yaml").read_text())["gates"]}
    assert card_problems(text, tuple(rows["package"]["sections"])) == []
    assert "**Trained from random weights.**" in text
    assert "Covid is confounded with its source: every covid image" in text
    assert "A physician must confirm" in text
    assert load_dataset(finished.dataset).digest in text


def test_the_card_of_a_pretrained_model_does_not_shout(finished):
    data = load_dataset(finished.dataset)
    info = load_info(finished.package).model_copy(update={"initial_weights": "imagenet:sha256:1"})
    evaluation = json.loads((finished.evaluation / "evaluation.json").read_text())
    parts = Split.load(finished.split).parts
    card = render_model_card(info, {**evaluation, "limits": []}, data.manifest, parts, None)
    assert "random weights" not in card
    assert "Its course is not recorded." in card


def test_the_card_says_how_the_training_went(finished):
    text = (finished.package / "model_card.md").read_text()
    verdict = read_report(finished.package).verdict
    assert f"Judged by its own curves: {verdict.verdict}; " in text
    assert verdict.rule[1:] in text


def test_no_patient_key_is_in_the_package(finished):
    keys = load_dataset(finished.dataset).patients.tolist()
    for path in finished.package.iterdir():
        if path.suffix in {".json", ".md", ".html"}:
            text = path.read_text()
            assert not any(key in text for key in keys), path.name


def test_a_missing_figure_is_written_as_missing():
    assert figure_text({"value": None, "low": None, "high": None}) == "missing"
    assert figure_text({"value": 0.5, "low": None, "high": None}) == "0.500 (no interval)"
