"""`thorax models join`: networks in, a calibrated ensemble out, which is evaluated like any other model."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.data.splits import split_on_disk
from imaging.errors import ConfigurationError
from imaging.evaluation import evaluate_on_disk
from imaging.inference import Predictor
from imaging.models.directory import load_info, replace_info
from tests.imaging.evaluation.factories import write_small_dataset, write_small_model
from thorax.commands.models import app


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A dataset version, its split, and a network that was fitted to its training part."""
    root = tmp_path_factory.mktemp("small")
    write_small_dataset(root / "dataset")
    split_on_disk(root / "dataset", root / "split.json")
    write_small_model(root / "model", root / "dataset", root / "split.json")
    return root / "dataset", root / "split.json", root / "model"


def order(*members: Path, data: Path, split: Path, out: Path) -> list[str]:
    return ["join", *map(str, members), "--data", str(data), "--split", str(split), "--out", str(out), "--json"]


def test_networks_become_one_model_that_is_calibrated_evaluated_and_says_what_it_is(small_run, tmp_path: Path) -> None:
    dataset, split, model = small_run
    other = tmp_path / "other"
    replace_info(model, other, seed=1)
    whole = order(model, other, data=dataset, split=split, out=tmp_path / "all")
    result = CliRunner().invoke(app, whole, catch_exceptions=False)
    said = json.loads(result.stdout)
    assert (said["members"], said["model"]) == (2, str(tmp_path / "all"))
    info = load_info(tmp_path / "all")
    assert info.members == 2
    assert set(info.operating_points) == set(info.critical_classes)
    assert info.conformal is not None
    evaluation = evaluate_on_disk(tmp_path / "all", dataset, split, tmp_path / "report", resamples=20)
    assert evaluation.members == 2
    assert evaluation.uncertainty.error_detection.voices == "members"
    assert evaluation.export.files[0].largest_difference < 1e-4
    html = (tmp_path / "report" / "evaluation.html").read_text()
    assert "An ensemble of 2 mobilenet_v2" in html
    assert "disagreement of 2 members" in html
    assert Predictor.load(tmp_path / "all").info.members == 2


def test_a_folder_that_is_there_is_not_written_over(small_run, tmp_path: Path) -> None:
    dataset, split, model = small_run
    shutil.copytree(model, tmp_path / "all")
    with pytest.raises(ConfigurationError, match="exists"):
        CliRunner().invoke(
            app, order(model, model, data=dataset, split=split, out=tmp_path / "all"), catch_exceptions=False
        )
