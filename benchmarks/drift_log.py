"""A prediction log of many requests, in the layout that the collector writes, with a model directory's reference."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imaging.data.statistics import STATISTICS
from monitoring.prediction_rows import schema

CLASSES = ("covid", "normal", "pneumonia")
COORDINATES = 16
AT_ONCE = 100_000
REFERENCE_ROWS = 2_000
ASKED_TWICE = 0.05


def write_log(home: Path, rows: int) -> Path:
    """Write `rows` requests of the last seven days, one in twenty of them asked twice, and a package beside them."""
    chance = np.random.default_rng(0)
    now = datetime.now(UTC)
    log = home / "predictions" / "parquet"
    for begin in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - begin)
        moment = now - timedelta(days=6.9 * (begin + count) / rows)
        folder = log / f"date={moment.date().isoformat()}" / "model_version=3"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(_requests(chance, begin, count, moment), folder / f"{begin}.parquet", compression="zstd")
    package = home / "package"
    package.mkdir()
    statistics, scores, embedding = _drawn(chance, REFERENCE_ROWS)
    columns = {name: statistics[:, i] for i, name in enumerate(STATISTICS)}
    columns |= {f"p_{name}": scores[:, i] for i, name in enumerate(CLASSES)}
    columns |= {f"e_{i:02}": embedding[:, i] for i in range(COORDINATES)}
    tags = {"view": chance.choice(["PA", "AP"], REFERENCE_ROWS), "site": chance.choice(["A", "B", "C"], REFERENCE_ROWS)}
    pq.write_table(pa.table({**columns, **tags}), package / "reference_profile.parquet")
    return home


def _drawn(chance: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = chance.dirichlet((1, 4, 2), count)
    return chance.normal(0.5, 0.1, (count, len(STATISTICS))), scores, chance.normal(size=(count, COORDINATES))


def _requests(chance: np.random.Generator, begin: int, count: int, moment: datetime) -> pa.Table:
    statistics, scores, embedding = _drawn(chance, count)
    numbers = np.arange(begin, begin + count)
    images = np.where(chance.random(count) < ASKED_TWICE, numbers - 1, numbers)
    digest = "sha256:" + "a" * 64
    made = {
        "time": pa.array([moment.isoformat()] * count),
        "request_id": pa.array([f"request-{number}" for number in numbers]),
        "model_version": pa.array(["3"] * count),
        "model_digest": pa.array([digest] * count),
        "image_sha256": pa.array([f"sha256:{number:064x}" for number in images]),
        "view": pa.array(chance.choice(["PA", "AP"], count)),
        "site": pa.array(chance.choice(["A", "B", "C"], count)),
        "manufacturer": pa.array(chance.choice(["one", "other"], count)),
        "statistics": _map(STATISTICS, statistics),
        "scores": _map(CLASSES, scores),
        "embedding": pa.ListArray.from_arrays(_offsets(count, COORDINATES), pa.array(embedding.reshape(-1))),
        "prediction": pa.array(np.array(CLASSES)[scores.argmax(axis=1)]),
        "triage": pa.array(["report"] * count),
        "latency_ms": pa.array(chance.gamma(3, 30, count)),
    }
    empty = {field.name: pa.nulls(count, field.type) for field in schema() if field.name not in made}
    return pa.table({**made, **empty}).select(schema().names).cast(schema())


def _map(names: tuple[str, ...], values: np.ndarray) -> pa.Array:
    count, width = values.shape
    return pa.MapArray.from_arrays(_offsets(count, width), pa.array(list(names) * count), pa.array(values.reshape(-1)))


def _offsets(count: int, width: int) -> np.ndarray:
    return np.arange(0, count * width + 1, width, dtype=np.int32)
