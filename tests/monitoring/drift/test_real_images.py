"""The drift job on real radiographs: a contrast shift and another source are found, a random half is not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from audit.predictions import PredictionSpool
from imaging.data.dataset import load_dataset
from imaging.data.ingest import ingest
from imaging.data.statistics import STATISTICS, image_statistics
from imaging.settings import Settings
from monitoring.change_control import load_plan
from monitoring.drift import DriftResult, run_drift
from monitoring.prediction_log import collect
from tests.monitoring.conftest import DIGEST, prediction_row

TRIGGER = load_plan(Path(__file__).resolve().parents[3] / "pipelines" / "change_control.yaml").triggers["drift"]
ONE, OTHER = "nih-chestxray8", "kermany-guangzhou"


@pytest.fixture(scope="module")
def radiographs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Frontal images (N, 96, 96) of two sources, and which are of the first."""
    source = real_data / "xray3"
    folder = tmp_path_factory.mktemp("real")
    made = ingest(str(source), folder, labels=source / "manifest.csv", name="xray3", size=96, pseudonym_key=b"test")
    data = load_dataset(made.path)
    origin = data.column("source").astype(str)
    is_one, is_other = (np.char.startswith(origin, name) for name in (ONE, OTHER))
    chosen = np.flatnonzero(is_one | is_other)
    return np.array(data.images[chosen]), is_one[chosen]


def figures_of(images: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics, and a score that a network could have given: how dark the lower lungs are."""
    found = image_statistics(images)
    lungs = images[:, 40:80, 20:76].mean(axis=(1, 2)) / 255
    return {**found, "p_pneumonia": lungs, "p_normal": 1 - lungs}


def checked(home: Path, reference: np.ndarray, window: np.ndarray) -> DriftResult:
    import pyarrow as pa
    import pyarrow.parquet as pq

    package = home / "package"
    package.mkdir(parents=True)
    pq.write_table(pa.table(figures_of(reference)), package / "reference_profile.parquet")
    spool, found = PredictionSpool(home / "predictions" / "spool"), figures_of(window)
    now = datetime.now(UTC)
    for index in range(len(window)):
        scores = {name: float(found[f"p_{name}"][index]) for name in ("normal", "pneumonia")}
        statistics = {name: float(found[name][index]) for name in STATISTICS}
        row = prediction_row(index, scores=scores, statistics=statistics)
        spool.append({**row, "time": (now - timedelta(minutes=index)).isoformat()})
    spool.close()
    collect(home / "predictions" / "spool", home / "predictions" / "parquet")
    out = home / "drift" / "check"
    return run_drift(Settings(home=home), window=None, package=package, out=out, trigger=TRIGGER, model_digest=DIGEST)


def halves(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(images))
    return images[order[: len(order) // 2]], images[order[len(order) // 2 :]]


@pytest.mark.parametrize("seed", range(4))
def test_a_random_half_is_no_drift(home: Path, radiographs: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    images, _ = radiographs
    result = checked(home, *halves(images, seed))
    assert result.enough
    assert (result.drifted, result.shifted) == (False, ())


def test_a_contrast_ten_percent_lower_is_found(home: Path, radiographs: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = radiographs
    reference, window = halves(images, 1)
    middle = window.mean(axis=(1, 2), keepdims=True)
    paler = np.clip((window - middle) * 0.9 + middle, 0, 255).round().astype(np.uint8)
    result = checked(home, reference, paler)
    assert result.drifted
    assert {"p05", "p95"} & set(result.above)


def test_another_source_is_found(home: Path, radiographs: tuple[np.ndarray, np.ndarray]) -> None:
    images, is_one = radiographs
    result = checked(home, images[is_one], images[~is_one])
    assert result.drifted
