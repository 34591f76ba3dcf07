"""The rows of the prediction log that a check compares: answered, of one model, each image once.

One image sent a hundred times is one observation, and what a release asks for itself is none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imaging.data.statistics import STATISTICS
from monitoring.drift.counting import Source, parquet, quoted
from monitoring.drift.reference import COORDINATE, GROUPS, SCORE, SIZES, TAGS
from monitoring.prediction_rows import date_of, schema

if TYPE_CHECKING:
    import duckdb

SMOKE = "smoke-"
"""How request ids of a release's own questions begin; a client's may begin so too, but it asks about its own images."""
REFERRING = ("ambiguous_set", "low_confidence", "out_of_distribution")
"""Reasons by the model's own answer; the others are about the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Which rows: from `since`, before `until` where given, of `model_digest` where given."""

    since: datetime | None
    until: datetime | None = None
    model_digest: str | None = None


def log_files(log: Path, span: Span) -> list[Path]:
    """Return the files of the log that may hold rows of the span, by their folder's date."""
    first = (span.since - timedelta(days=1)).date().isoformat() if span.since else ""
    last = (span.until + timedelta(days=1)).date().isoformat() if span.until else "9999"
    files = sorted(log.glob("date=*/model_version=*/*.parquet"))
    return [path for path in files if first <= (date_of(path) or first) <= last]


def open_window(
    connection: "duckdb.DuckDBPyConnection", files: Sequence[Path], span: Span, package: Path, *, name: str
) -> int:
    """Make the view `name` of the answered rows of `span`, each image once; return how many requests were refused.

    The view `name`_answered has an image as often as it was asked about.
    """
    fields = [field.name for field in schema()]
    empty = ", ".join(f"NULL::{_sql_type(field)} AS {field}" for field in fields)
    rows = f"SELECT *, '' AS filename, 0 AS file_row_number FROM (SELECT {empty}) WHERE false"
    if files:
        found = parquet(files).replace("filename = true", "filename = true, file_row_number = true")
        rows = f"{rows} UNION ALL BY NAME SELECT * FROM {found}"
    connection.execute(f"CREATE TEMP VIEW {name}_asked AS SELECT * FROM ({rows}) WHERE {_condition(span)}")
    answered = f"coalesce(refusal_code, '') = '' AND cardinality(scores) > 0 AND NOT ({_own_question(package)})"
    row_id = "hash(filename, file_row_number)"
    # a request of before the image's digest was logged is an image by itself
    image = "hash(coalesce(nullif(image_sha256, ''), request_id))"
    connection.execute(f"CREATE TEMP VIEW {name}_answered AS SELECT * FROM {name}_asked WHERE {answered}")
    connection.execute(
        f"CREATE TEMP TABLE {name}_kept AS SELECT min({row_id}) AS pick FROM {name}_answered GROUP BY {image}"
    )
    connection.execute(
        f"CREATE TEMP VIEW {name} AS SELECT * FROM {name}_asked WHERE {row_id} IN (SELECT pick FROM {name}_kept)"
    )
    refused = f"SELECT count(DISTINCT request_id) FROM {name}_asked WHERE coalesce(refusal_code, '') <> ''"
    return int(connection.execute(refused).fetchall()[0][0])


def log_source(name: str, figures: Sequence[str]) -> Source:
    """Return how each figure is found in the view `name` of the log."""
    return Source(relation=name, expressions={figure: _expression(figure) for figure in figures})


def sample_rows(
    connection: "duckdb.DuckDBPyConnection", name: str, figures: Sequence[str], *, most: int, where: str = "true"
) -> dict[str, np.ndarray]:
    """Return up to `most` rows of a view, a fixed random choice by the image's digest, by figure."""
    asked = ", ".join(f"{_expression(figure)} AS f{index}" for index, figure in enumerate(figures))
    order = "hash(coalesce(nullif(image_sha256, ''), request_id))"
    query = f"SELECT {asked} FROM {name} WHERE {where} ORDER BY {order} LIMIT {most}"
    found = connection.execute(query).fetchnumpy()
    return {figure: _plain(found[f"f{index}"]) for index, figure in enumerate(figures)}


def group_condition(column: str, value: str) -> str:
    """Return the SQL condition of one site or manufacturer."""
    return f"coalesce({column}, '') = {quoted(value)}"


def _plain(values: np.ndarray) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(values.filled(np.nan if values.dtype.kind == "f" else ""))
    return np.asarray(values)


def _expression(figure: str) -> str:
    if figure.startswith(SCORE):
        return f"scores[{quoted(figure.removeprefix(SCORE))}]"
    if figure in STATISTICS:
        return f"statistics[{quoted(figure)}]"
    if figure.startswith(COORDINATE):
        return f"embedding[{int(figure.removeprefix(COORDINATE)) + 1}]"
    if figure == "referred":
        reasons = ", ".join(map(quoted, REFERRING))
        return f"CASE WHEN list_has_any(reasons, [{reasons}]) THEN 'yes' ELSE 'no' END"
    if figure in (*TAGS, *SIZES, *GROUPS, "prediction", "novelty"):
        return figure
    raise ValueError(f"no figure {figure!r} in the prediction log")


def _condition(span: Span) -> str:
    # a row whose time is none is in no window
    parts = ["true"]
    if span.since:
        parts.append(f"try_cast(time AS TIMESTAMPTZ) >= TIMESTAMPTZ {quoted(span.since.isoformat())}")
    if span.until:
        parts.append(f"try_cast(time AS TIMESTAMPTZ) < TIMESTAMPTZ {quoted(span.until.isoformat())}")
    if span.model_digest is not None:
        parts.append(f"model_digest = {quoted(span.model_digest)}")
    return " AND ".join(parts)


def _own_question(package: Path) -> str:
    """Return the condition of a release's own question: its id and the package's own image."""
    try:
        image = "sha256:" + hashlib.sha256((package / "reference_image.png").read_bytes()).hexdigest()
    except FileNotFoundError:
        return "false"
    return f"starts_with(request_id, {quoted(SMOKE)}) AND coalesce(image_sha256, '') = {quoted(image)}"


def _sql_type(field: str) -> str:
    import pyarrow as pa

    kind = schema().field(field).type
    if pa.types.is_map(kind):
        return "MAP(VARCHAR, DOUBLE)"
    if pa.types.is_list(kind):
        return "DOUBLE[]" if pa.types.is_float64(kind.value_type) else "VARCHAR[]"
    return "DOUBLE" if pa.types.is_float64(kind) else "VARCHAR"
