import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitoring.drift import distances
from monitoring.drift.bins import NumberBins

COUNTS = arrays(np.int64, 8, elements=st.integers(0, 500)).filter(lambda counts: counts.sum() > 0)
FULL = arrays(np.int64, 8, elements=st.integers(1, 500))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["normal", "shifted", "beta", "few values"])
def test_psi_in_evidentlys_bins_is_evidentlys(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift
    chance = np.random.default_rng(3)
    reference, current = {
        "normal": (chance.normal(size=300), chance.normal(size=120)),
        "shifted": (chance.normal(size=300), chance.normal(2, 1, size=120)),
        "beta": (chance.beta(0.3, 3, size=400), chance.beta(0.4, 3, size=100)),
        "few values": (chance.integers(0, 9, 300) / 255, chance.integers(0, 9, 100) / 255),
    }[kind]
    sides = [
        Dataset.from_pandas(pd.DataFrame({"x": side}), data_definition=DataDefinition(numerical_columns=["x"]))
        for side in (current, reference)
    ]
    report = Report([ValueDrift(column="x", method="psi", threshold=0.2)]).run(*sides)
    both = np.concatenate([reference, current])
    values = np.unique(both)
    edges = (values[:-1] + values[1:]) / 2 if len(values) < 20 else np.histogram_bin_edges(both, bins="sturges")[1:-1]
    bins = NumberBins(edges=edges, centres=np.zeros(len(edges) + 1), deviation=1.0)
    counts = [np.bincount(bins.place(side), minlength=bins.count) for side in (reference, current)]
    assert float(distances.psi(*counts)) == pytest.approx(float(report.dict()["metrics"][0]["value"]), abs=1e-6)


def test_psi_of_two_known_histograms_is_the_sum_worked_by_hand() -> None:
    by_hand = (0.5 - 0.25) * np.log(0.5 / 0.25) + (0.5 - 0.75) * np.log(0.5 / 0.75)
    assert distances.psi(np.array([50, 50]), np.array([25, 75])) == pytest.approx(by_hand)


@given(COUNTS, COUNTS)
def test_psi_is_symmetric_never_negative_and_zero_for_equal_shares(one: np.ndarray, other: np.ndarray) -> None:
    assert distances.psi(one, other) >= 0
    assert distances.psi(one, other) == pytest.approx(distances.psi(other, one))
    assert distances.psi(one, one * 3) == pytest.approx(0, abs=1e-9)


@given(FULL, FULL)
def test_divergences_are_scipys(one: np.ndarray, other: np.ndarray) -> None:
    assert distances.kl(one, other) == pytest.approx(stats.entropy(other, one), abs=1e-12)
    assert distances.jensen_shannon(one, other) == pytest.approx(jensenshannon(one, other) ** 2, abs=1e-12)


@given(COUNTS, COUNTS)
def test_the_wasserstein_distance_is_scipys_between_the_bins_centres(one: np.ndarray, other: np.ndarray) -> None:
    centres = np.array([0.0, 0.5, 2.0, 2.5, 3.0, 7.0, 7.5, 9.0])
    expected = stats.wasserstein_distance(centres, centres, one, other) / 2.0
    assert distances.wasserstein(one, other, centres, 2.0) == pytest.approx(expected, abs=1e-9)


@given(FULL, FULL)
def test_chi_squares_p_is_scipys(one: np.ndarray, other: np.ndarray) -> None:
    expected = stats.chi2_contingency(np.stack([one, other]), correction=False).pvalue
    assert distances.chi_square_p_value(one, other) == pytest.approx(expected, abs=1e-9)


def test_ks_p_is_near_scipys_where_every_value_has_its_bin() -> None:
    chance = np.random.default_rng(2)
    one, other = chance.normal(size=400), chance.normal(0.15, 1, size=300)
    values = np.unique(np.concatenate([one, other]))
    counts = [np.bincount(np.searchsorted(values, side), minlength=len(values)) for side in (one, other)]
    assert distances.ks_p_value(*counts) == pytest.approx(stats.ks_2samp(one, other).pvalue, rel=0.1)


def test_holm_is_the_worked_example() -> None:
    # the smallest times four, then three, two, one, never falling
    found = distances.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)))
def test_holms_adjustment_never_lowers_a_p_and_keeps_their_order(p_values: np.ndarray) -> None:
    adjusted = distances.holm(p_values)
    assert (adjusted >= p_values - 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= -1e-12).all()


def test_pairs_are_compared_many_at_once_as_one_by_one() -> None:
    chance = np.random.default_rng(1)
    one, other = chance.integers(0, 50, (20, 6)), chance.integers(1, 50, (20, 6))
    together = distances.psi(one, other)
    assert together == pytest.approx([float(distances.psi(a, b)) for a, b in zip(one, other, strict=True)])
