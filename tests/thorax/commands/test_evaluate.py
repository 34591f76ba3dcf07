"""`thorax evaluate`: the pipeline's files again, from the model's own split, with another dataset beside it."""

import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from imaging.data.dataset import load_dataset
from imaging.data.splits import split_on_disk
from imaging.errors import ConfigurationError
from imaging.evaluation import evaluate_on_disk
from imaging.models.directory import replace_info
from tests.imaging.evaluation.pictures import write_picture_model, write_pictures
from thorax.cli import app

TIMES = re.compile(r'"p50_ms"|"p95_ms"|p95 [\d.]+ ms|\d ms\b')
"""What differs from one run to the next."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows which split it was trained on, its dataset, and another."""
    root = tmp_path_factory.mktemp("evaluate")
    dataset = write_pictures(root / "own", classes=3, per_class=20)
    split = split_on_disk(dataset, root / "split.json")
    write_picture_model(root / "trained", dataset, root / "split.json")
    digests = {"dataset": load_dataset(dataset).digest, "split": split.digest}
    replace_info(root / "trained", root / "model", digests=digests)
    write_pictures(root / "other", classes=3, per_class=10, seed=4)
    return root


def ask(place: Path, *options: object) -> Result:
    given = ["evaluate", place / "model", "--data", place / "own", "--out", place / "out", "--resamples", "20"]
    return CliRunner().invoke(app, [str(word) for word in (*given, *options)])


def test_the_files_are_those_of_the_library_but_for_the_time(place: Path, tmp_path: Path) -> None:
    assert ask(place).exit_code == 0
    evaluate_on_disk(place / "model", place / "own", place / "split.json", tmp_path / "out", resamples=20)
    ours, theirs = place / "out", tmp_path / "out"
    assert (ours / "predictions.parquet").read_bytes() == (theirs / "predictions.parquet").read_bytes()
    documents = [json.loads((folder / "evaluation.json").read_text()) for folder in (ours, theirs)]
    for document in documents:
        del document["latency"]
    assert documents[0] == documents[1]


def test_the_pipelines_step_writes_the_same_files(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kfp import dsl

    from components.evaluate_model import evaluate_model

    assert ask(place).exit_code == 0
    monkeypatch.setattr("imaging.registry.current_champion", lambda *_: nullcontext(("", None)))
    evaluation = dsl.Artifact(uri=str(tmp_path / "step"))
    evaluate_model.python_func(
        dataset=dsl.Dataset(uri=str(place / "own")),
        split=dsl.Artifact(uri=str(place / "split.json")),
        model=dsl.Model(uri=str(place / "model")),
        evaluation=evaluation,
        resamples=20,
    )
    ours, theirs = place / "out", tmp_path / "step"
    assert sorted(file.name for file in theirs.iterdir()) == sorted(file.name for file in ours.iterdir())
    assert (ours / "predictions.parquet").read_bytes() == (theirs / "predictions.parquet").read_bytes()
    for name in ("evaluation.json", "evaluation.html"):
        timeless = [
            [line for line in (folder / name).read_text().splitlines() if not TIMES.search(line)]
            for folder in (ours, theirs)
        ]
        assert timeless[0] == timeless[1]
        assert len(timeless[0]) > 50


def test_another_dataset_stands_beside_the_own_one(place: Path) -> None:
    ended = ask(place, "--external", place / "other", "--json")
    assert ended.exit_code == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["test_part"], document["external"]["n_images"]) == ("held_out", 30)
    assert json.loads((place / "out" / "evaluation.json").read_text()) == document
    assert "elsewhere: macro AUROC lost" in ask(place, "--external", place / "other").stdout


def test_a_thorough_evaluation_shows_every_severity_and_the_table_the_worst(place: Path) -> None:
    ended = ask(place, "--thorough")
    assert ended.exit_code == 0, ended.stderr
    found = json.loads((place / "out" / "evaluation.json").read_text())["robustness"]
    assert {one["severity"] for one in found["corruptions"]} == {1, 2, 3}
    assert "macro AUROC lost" in ended.stdout


def test_without_a_folder_the_report_is_in_the_home(place: Path, home: Path) -> None:
    given = ["evaluate", str(place / "model"), "--data", str(place / "own"), "--resamples", "20"]
    assert CliRunner().invoke(app, given).exit_code == 0
    assert (home / "evaluations" / "model" / "evaluation.html").is_file()


def test_a_split_beside_the_model_is_used_and_another_than_its_own_refused(place: Path, tmp_path: Path) -> None:
    model = shutil.copytree(place / "model", tmp_path / "model")
    split_on_disk(place / "own", tmp_path / "odd.json", seed=7)
    shutil.copy(tmp_path / "odd.json", model / "split.json")
    given = ["evaluate", str(model), "--data", str(place / "own"), "--out", str(tmp_path / "out"), "--resamples", "20"]
    for options in ([], ["--split", str(tmp_path / "odd.json")]):
        ended = CliRunner().invoke(app, [*given, *options])
        assert isinstance(ended.exception, ConfigurationError)
        assert "another split" in str(ended.exception)
    shutil.copy(place / "split.json", model / "split.json")
    assert CliRunner().invoke(app, given).exit_code == 0


def test_a_split_that_cannot_be_found_is_asked_for(place: Path, tmp_path: Path) -> None:
    replace_info(place / "trained", tmp_path / "model", digests={"split": "sha256:other"})
    given = ["evaluate", str(tmp_path / "model"), "--data", str(place / "own"), "--out", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, given)
    assert isinstance(ended.exception, ConfigurationError)
    assert "give its file by --split" in str(ended.exception)
