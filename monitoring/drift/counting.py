"""Counts what a log holds in the reference's bins, in one pass of DuckDB over its Parquet files.

Cumulative counts at each edge are what a column engine does fastest. Memory does not grow with the rows: a pass holds
one block of each file, and what tells images apart spills to disk beyond `MEMORY`.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from monitoring.drift.bins import Bins, Counts, NumberBins

if TYPE_CHECKING:
    import duckdb

MEMORY = "600MB"
THREADS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What is counted: a relation of a connection, and how each figure is found in it.

    Attributes:
        relation: A table, a view, or a call such as `read_parquet(…)`.
        expressions: By figure, its SQL expression.
    """

    relation: str
    expressions: Mapping[str, str]


@contextlib.contextmanager
def connect() -> Iterator["duckdb.DuckDBPyConnection"]:
    """Open a database in memory that fetches no extension, and spills to a folder that goes away with it."""
    import duckdb

    with TemporaryDirectory(prefix="thorax-drift-") as spill:
        settings: dict[str, Any] = {
            "memory_limit": MEMORY,
            "threads": THREADS,
            "temp_directory": spill,
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": False,
        }
        with duckdb.connect(config=settings) as connection:
            yield connection


def parquet(paths: Sequence[Path]) -> str:
    """Return the relation of these Parquet files; a column that one of them lacks is NULL there."""
    names = ", ".join(quoted(str(path)) for path in paths)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false, filename = true)"


def quoted(text: str) -> str:
    """Return an SQL text."""
    return "'" + text.replace("'", "''") + "'"


def count(
    connection: "duckdb.DuckDBPyConnection", source: Source, bins: Mapping[str, Bins], *, by: Sequence[str] = ()
) -> dict[tuple[str, ...], Counts]:
    """Count each figure of `bins`, for each combination of the columns `by`; one combination, (), without any.

    A NULL in `by` is "", and so is a NaN in a figure absent.
    """
    asked = [part for name, places in bins.items() for part in _parts(source.expressions[name], places)]
    keys = [f"coalesce({column}, '')" for column in by]
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    rows = connection.execute(
        f"SELECT {', '.join([*keys, 'count(*)', *asked])} FROM {source.relation}{group}"
    ).fetchall()
    return {tuple(map(str, row[: len(by)])): _counts(row[len(by) :], bins) for row in rows}


def _parts(expression: str, bins: Bins) -> list[str]:
    """Return the aggregates from which `_counts` makes a figure's bins."""
    if isinstance(bins, NumberBins):
        known = f"count_if(isfinite({expression}))"
        return [known, *(f"count_if({expression} <= {edge!r})" for edge in bins.edges.tolist())]
    known = f"count_if({expression} <> '')"
    return [known, *(f"count_if({expression} = {quoted(word)})" for word in bins.values)]


def _counts(row: Sequence[Any], bins: Mapping[str, Bins]) -> Counts:
    found, at = {}, 1
    counted = [0 if value is None else int(value) for value in row]  # of nothing but NULLs a count is NULL
    for name, places in bins.items():
        known, parts = counted[at], np.array(counted[at + 1 : at + places.count], dtype=np.int64)
        at += places.count
        if isinstance(places, NumberBins):
            found[name] = np.diff(parts, prepend=0, append=known)
        else:
            found[name] = np.append(parts, known - parts.sum())
    return Counts(bins=found, rows=counted[0])


def total(parts: Sequence[Counts], bins: Mapping[str, Bins]) -> Counts:
    """Return the counts of all parts together; zeros where there is none."""
    whole = Counts(bins={name: np.zeros(places.count, dtype=np.int64) for name, places in bins.items()}, rows=0)
    for part in parts:
        whole = whole + part
    return whole
