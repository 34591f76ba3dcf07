import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitoring.drift.bins import CategoryBins, Counts, NumberBins, count_codes
from monitoring.drift.counting import Source, connect, count, parquet, total

VALUES = arrays(np.float64, st.integers(1, 120), elements=st.floats(-3, 3, allow_nan=False).map(lambda v: round(v, 3)))
WORDS = st.lists(st.sampled_from(["PA", "AP", "LL", "it's", ""]), min_size=1, max_size=60)


def counted(table: pa.Table, bins: dict, by: tuple[str, ...] = ()) -> dict[tuple[str, ...], Counts]:
    with connect() as connection:
        connection.register("rows", table)
        return count(connection, Source(relation="rows", expressions={name: name for name in bins}), bins, by=by)


@given(VALUES, VALUES)
@settings(max_examples=40, deadline=None)
def test_the_database_counts_numbers_as_numpy_places_them(reference: np.ndarray, current: np.ndarray) -> None:
    bins = {"x": NumberBins.of(reference)}
    found = counted(pa.table({"x": current}), bins)[()]
    assert found.bins["x"].tolist() == count_codes({"x": bins["x"].place(current)}, bins).bins["x"].tolist()
    assert found.rows == len(current)


@given(WORDS, WORDS)
@settings(max_examples=40, deadline=None)
def test_the_database_counts_words_as_python_places_them(reference: list[str], current: list[str]) -> None:
    bins = {"view": CategoryBins.of([word for word in reference if word])}
    found = counted(pa.table({"view": current}), bins)[()]
    assert found.bins["view"].tolist() == count_codes({"view": bins["view"].place(current)}, bins).bins["view"].tolist()


def test_what_is_no_number_is_in_no_bin() -> None:
    bins = {"x": NumberBins.of(np.arange(50.0))}
    found = counted(pa.table({"x": [1.0, None, float("nan"), float("inf"), 49.0]}), bins)[()]
    assert (found.rows, int(found.bins["x"].sum())) == (5, 2)


def test_a_figure_that_no_row_has_is_counted_as_nowhere() -> None:
    bins = {"x": NumberBins.of(np.arange(50.0)), "word": CategoryBins.of(["a", "b"])}
    nowhere = pa.table({"x": pa.nulls(3, pa.float64()), "word": pa.nulls(3, pa.string())})
    found = counted(nowhere, bins)[()]
    assert (found.rows, int(found.bins["x"].sum()), int(found.bins["word"].sum())) == (3, 0, 0)


@given(VALUES)
def test_bins_hold_about_equal_shares_and_no_value_lies_on_an_edge(reference: np.ndarray) -> None:
    bins = NumberBins.of(reference)
    assert not np.isin(reference, bins.edges).any()
    counts = np.bincount(bins.place(reference), minlength=bins.count)
    assert (counts > 0).all()
    if len(np.unique(reference)) == len(reference) > 40:
        assert counts.max() <= len(reference) / 10 + 1


def test_a_far_outlier_does_not_blunt_the_bins() -> None:
    values = np.append(np.random.default_rng(0).normal(size=500), 1e6)
    counts = np.bincount(NumberBins.of(values).place(values))
    assert counts.max() < 60


@pytest.fixture
def log(tmp_path: Path) -> tuple[list[Path], dict]:
    chance = np.random.default_rng(4)
    bins = {"x": NumberBins.of(chance.normal(size=300)), "site": CategoryBins.of(["A", "B"])}
    paths = []
    for part in range(5):
        rows = {"x": chance.normal(0.1 * part, 1, size=200), "site": chance.choice(["A", "B", "C"], 200)}
        paths.append(tmp_path / f"{part}.parquet")
        pq.write_table(pa.table(rows), paths[-1])
    return paths, bins


def test_counts_of_parts_add_up_to_those_of_the_whole(log: tuple[list[Path], dict]) -> None:
    paths, bins = log

    def of(some: list[Path], by: tuple[str, ...] = ()) -> dict[tuple[str, ...], Counts]:
        with connect() as connection:
            return count(connection, Source(relation=parquet(some), expressions={n: n for n in bins}), bins, by=by)

    whole = of(paths)[()]
    handed_over = [Counts.from_json(of([path])[()].to_json()) for path in paths]
    by_site = of(paths, ("site",))
    assert set(by_site) == {("A",), ("B",), ("C",)}
    for merged in (total(handed_over, bins), total(list(by_site.values()), bins)):
        assert json.loads(merged.to_json()) == json.loads(whole.to_json())


def test_counts_in_other_bins_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="add up"):
        Counts(bins={"x": np.zeros(3)}, rows=0) + Counts(bins={"x": np.zeros(4)}, rows=0)
