"""The intervals hold their promise: drawn again and again from a known world, 95 in 100 hold the truth.

500 draws have a standard error of one point, so two points on each side. It takes half a minute, hence its place here.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from imaging.evaluation.bootstrap import bca_interval, leave_one_out, percentile_interval, resample
from imaging.evaluation.delong import delong_interval
from imaging.evaluation.figure import Figure
from imaging.evaluation.metrics import Array, auroc, one_weighting, ratio

pytestmark = [pytest.mark.e2e, pytest.mark.beside]

DRAWS = 500
RESAMPLES = 600
SICK, WELL = 60, 90
SEPARATION = 1.5
SENSITIVITY_POINT = 0.4
"""Called above it: 86 in 100 of the sick, whose scores are normal around `SEPARATION`."""

Draw = tuple[Array, np.ndarray]


def draw(rng: np.random.Generator) -> Draw:
    """One image a patient: scores, and who is sick."""
    sick = np.arange(SICK + WELL) < SICK
    return rng.normal(size=SICK + WELL) + SEPARATION * sick, sick


def area(scores: Array, sick: np.ndarray) -> Callable[[Array], dict[str, Array]]:
    return lambda weights: {"x": auroc(scores, sick, weights)}


def sensitivity(scores: Array, sick: np.ndarray) -> Callable[[Array], dict[str, Array]]:
    called = (sick & (scores >= SENSITIVITY_POINT)).astype(float)
    return lambda weights: {"x": ratio(weights @ called, weights @ sick.astype(float))}


FIGURES = {
    "AUROC": (area, float(norm.cdf(SEPARATION / np.sqrt(2)))),
    "sensitivity": (sensitivity, float(norm.sf(SENSITIVITY_POINT - SEPARATION))),
}


def intervals_of(figure: str, draws: int) -> dict[str, list[Figure]]:
    """Each method's interval of the figure in each of as many worlds."""
    rng, patients = np.random.default_rng(7), np.arange(SICK + WELL)
    found: dict[str, list[Figure]] = {"percentile": [], "BCa": []}
    for seed in range(draws):
        statistic = FIGURES[figure][0](*draw(rng))
        value = float(statistic(one_weighting(len(patients)))["x"][0])
        drawn = resample(statistic, patients, resamples=RESAMPLES, seed=seed)["x"]
        found["percentile"].append(percentile_interval(value, drawn))
        found["BCa"].append(bca_interval(value, drawn, leave_one_out(statistic, patients)["x"]))
    return found


def coverage(intervals: list[Figure], truth: float) -> float:
    return float(np.mean([one.low is not None and one.low <= truth <= (one.high or 0) for one in intervals]))


@pytest.mark.parametrize("figure", sorted(FIGURES))
def test_95_in_100_corrected_intervals_hold_the_truth_and_of_plain_percentiles_not_many_fewer(figure: str) -> None:
    found, truth = intervals_of(figure, DRAWS), FIGURES[figure][1]
    held = {name: coverage(figures, truth) for name, figures in found.items()}
    assert 0.93 <= held["BCa"] <= 0.97, held
    assert 0.90 <= held["percentile"] <= 0.97, held


def test_95_in_100_intervals_by_delongs_formula_hold_the_truth() -> None:
    rng, patients = np.random.default_rng(7), np.arange(SICK + WELL)
    found = [delong_interval(scores, sick, patients) for scores, sick in (draw(rng) for _ in range(DRAWS))]
    assert 0.93 <= coverage(found, FIGURES["AUROC"][1]) <= 0.97


def test_an_interval_that_counts_images_as_patients_breaks_the_promise() -> None:
    """The check can fail: four copies of each image, taken for patients of their own, hold the truth too seldom."""
    rng, found = np.random.default_rng(7), []
    for seed in range(100):
        scores, sick = (np.repeat(part, 4) for part in draw(rng))
        statistic = area(scores, sick)
        drawn = resample(statistic, np.arange(len(sick)), resamples=200, seed=seed)["x"]
        found.append(percentile_interval(float(statistic(one_weighting(len(sick)))["x"][0]), drawn))
    assert coverage(found, FIGURES["AUROC"][1]) < 0.8
