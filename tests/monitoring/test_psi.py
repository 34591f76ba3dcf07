import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitoring.psi import psi, sampling_noise

SAMPLES = arrays(
    np.float64, st.integers(30, 80), elements=st.floats(-5, 5, allow_subnormal=False).map(lambda v: round(v, 6))
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["normal", "shifted", "beta", "few values", "new values", "constant"])
def test_psi_is_the_figure_that_evidently_computes(kind: str) -> None:
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
        "new values": (chance.integers(0, 9, 300) / 255, chance.integers(5, 30, 100) / 255),
        "constant": (np.zeros(100), np.zeros(50)),
    }[kind]
    definition = DataDefinition(numerical_columns=["x"])
    sides = [
        Dataset.from_pandas(pd.DataFrame({"x": side}), data_definition=definition) for side in (current, reference)
    ]
    report = Report([ValueDrift(column="x", method="psi", threshold=0.2)]).run(*sides)
    assert psi(reference, current) == pytest.approx(float(report.dict()["metrics"][0]["value"]), abs=1e-12)


def test_psi_of_two_known_histograms_is_the_sum_worked_by_hand() -> None:
    reference, current = np.array([0.0] * 50 + [1.0] * 50), np.array([0.0] * 25 + [1.0] * 75)
    by_hand = (0.5 - 0.25) * np.log(0.5 / 0.25) + (0.5 - 0.75) * np.log(0.5 / 0.75)
    assert psi(reference, current) == pytest.approx(by_hand)


@given(SAMPLES, SAMPLES)
def test_psi_is_never_negative_and_zero_for_a_sample_against_itself(reference: np.ndarray, current: np.ndarray) -> None:
    assert psi(reference, current) >= 0
    assert psi(reference, reference) == pytest.approx(0, abs=1e-12)


@given(SAMPLES, SAMPLES, st.randoms(use_true_random=False))
def test_psi_does_not_depend_on_the_order_of_images(reference: np.ndarray, current: np.ndarray, random) -> None:
    shuffled = current.copy()
    random.shuffle(shuffled)
    assert psi(reference, shuffled) == pytest.approx(psi(reference, current))


def test_sampling_noise_is_exceeded_about_as_rarely_as_its_level_says() -> None:
    chance = np.random.default_rng(5)
    reference = chance.normal(size=300)
    noise = sampling_noise(reference, sample=120, level=0.95, resamples=400)
    drawn = [psi(chance.normal(size=300), chance.normal(size=120)) for _ in range(400)]
    assert 0.01 <= np.mean(np.array(drawn) > noise) <= 0.12


def test_sampling_noise_shrinks_with_more_images_and_passes_the_usual_bound_on_few() -> None:
    reference = np.random.default_rng(6).normal(size=400)
    few, many = (sampling_noise(reference, sample=count, level=0.99, resamples=200) for count in (40, 800))
    assert few > 0.2 > many


def test_sampling_noise_is_the_same_for_the_same_seed() -> None:
    reference = np.random.default_rng(7).normal(size=100)
    first, second = (sampling_noise(reference, sample=50, level=0.9, resamples=100, seed=1) for _ in range(2))
    assert first == second
