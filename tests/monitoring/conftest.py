"""Rows and packages as small as they can be, and real."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imaging.data.statistics import STATISTICS

DIGEST = "sha256:" + "a" * 64
CLASSES = ("normal", "pneumonia", "covid")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def prediction_row(index: int, **changes: Any) -> dict[str, Any]:
    row = {
        "time": (NOW - timedelta(minutes=index)).isoformat(),
        "request_id": f"request-{index}",
        "model_version": "3",
        "model_digest": DIGEST,
        "image_sha256": f"sha256:{index:064x}",
        "modality": "DX",
        "view": "PA",
        "rows": 512,
        "columns": 512,
        "manufacturer": "ACME",
        "site": "A",
        "statistics": dict.fromkeys(STATISTICS, 0.5),
        "scores": {"normal": 0.8, "pneumonia": 0.15, "covid": 0.05},
        "prediction": "normal",
        "triage": "report",
        "reasons": [],
        "latency_ms": 12.5,
        "refusal_code": None,
        "media_type": "application/dicom",
    }
    return {**row, **changes}


def drawn_rows(count: int, *, seed: int, shift: float = 0.0) -> list[dict[str, Any]]:
    """Rows of images whose statistics and scores come from one distribution, moved by `shift` deviations."""
    chance = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        values = 0.5 + 0.1 * (chance.normal(size=len(STATISTICS)) + shift)
        scores = chance.dirichlet((4, 2, 2))
        statistics = dict(zip(STATISTICS, values.tolist(), strict=True))
        rows.append(
            prediction_row(index, statistics=statistics, scores=dict(zip(CLASSES, scores.tolist(), strict=True)))
        )
    return rows


@pytest.fixture
def make_package(tmp_path: Path) -> Callable[..., Path]:
    """Write what drift needs of a model directory: the reference profile and `model.json`."""

    def make(count: int = 300, seed: int = 1) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        package = tmp_path / "package"
        package.mkdir()
        rows = drawn_rows(count, seed=seed)
        columns = {name: [row["statistics"][name] for row in rows] for name in STATISTICS}
        columns |= {f"p_{name}": [row["scores"][name] for row in rows] for name in CLASSES}
        pq.write_table(pa.table(columns), package / "reference_profile.parquet")
        (package / "model.json").write_text('{"recipe": "mobilenetv2_smoke"}')
        return package

    return make
