"""One evaluated and packaged model for the whole folder; tests copy what they change."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from imaging.evaluation.schema import Evaluation
from tests.imaging.evaluation.factories import passing_evaluation, write_small_dataset, write_small_model
from tests.signing import sign, trusted_key


@dataclass(frozen=True)
class Finished:
    """Paths of one run of calibrate, evaluate and package."""

    dataset: Path
    split: Path
    model: Path
    calibrated: Path
    evaluation: Path
    package: Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    from imaging.data.splits import split_on_disk
    from imaging.evaluation import calibrate_on_disk, evaluate_on_disk
    from imaging.packaging import package_on_disk

    root = tmp_path_factory.mktemp("finished")
    run = Finished(*(root / name for name in ("dataset", "split.json", "model", "calibrated", "evaluation", "package")))
    write_small_dataset(run.dataset)
    split_on_disk(run.dataset, run.split)
    write_small_model(run.model, run.dataset, run.split)
    calibrate_on_disk(run.model, run.dataset, run.split, run.calibrated)
    evaluate_on_disk(run.calibrated, run.dataset, run.split, run.evaluation, champion=run.calibrated, resamples=100)
    package_on_disk(
        run.calibrated,
        run.evaluation,
        run.dataset,
        run.split,
        run.package,
        extra={"trigger": "drift", "code": "sha256:c"},
    )
    sign(run.package)
    return run


@pytest.fixture
def package(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished package, to spoil."""
    return shutil.copytree(finished.package, tmp_path / "package")


@pytest.fixture(scope="session")
def good() -> Evaluation:
    return passing_evaluation()


@pytest.fixture(autouse=True)
def _trust_the_tests_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_SIGNATURE_KEY", str(trusted_key()))
