"""`thorax models evaluate`: a model directory and another dataset in, a report and its figures out."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.data.splits import split_on_disk
from tests.imaging.evaluation.pictures import write_picture_model, write_pictures
from thorax.commands.models import app


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate")
    dataset = write_pictures(root / "own", classes=3, per_class=20)
    split_on_disk(dataset, root / "split.json")
    write_picture_model(root / "model", dataset, root / "split.json")
    write_pictures(root / "other", classes=3, per_class=10, seed=4)
    return root


def ask(place: Path, dataset: str, *options: str):
    out = place / "out"
    given = ["evaluate", str(place / "model"), str(place / dataset), "--out", str(out), "--resamples", "20", *options]
    return CliRunner().invoke(app, given)


def test_figures_come_out_as_one_document_and_the_report_as_a_folder(place: Path) -> None:
    ended = ask(place, "other", "--json")
    document = json.loads(ended.stdout)
    assert ended.exit_code == 0
    assert (document["n_images"], document["test_part"]) == (30, "external")
    assert json.loads((place / "out" / "evaluation.json").read_text()) == document
    assert {path.name for path in (place / "out").iterdir()} == {
        "evaluation.json",
        "evaluation.html",
        "predictions.parquet",
    }


def test_people_get_a_table_of_every_class(place: Path) -> None:
    ended = ask(place, "other")
    assert ended.exit_code == 0
    for word in ("kind-0", "kind-2", "accuracy", "calibration error", "macro PR-AUC", "specificity"):
        assert word in ended.stdout


def test_the_dataset_that_trained_the_model_is_refused(place: Path) -> None:
    ended = ask(place, "own")
    assert ended.exit_code != 0
    assert "trained on this very dataset version" in str(ended.exception)
