import numpy as np
import pytest

from monitoring.drift.bins import Bins, CategoryBins, NumberBins, count_codes
from monitoring.drift.distances import psi
from monitoring.drift.noise import Noise, draws_for, sampling_noise

FIGURES = 6


def reference_of(chance: np.random.Generator, rows: int) -> tuple[np.ndarray, dict[str, Bins], dict[str, np.ndarray]]:
    """Correlated figures, their bins and places."""
    values = chance.normal(size=(rows, FIGURES)) @ MIXING
    bins: dict[str, Bins] = {str(index): NumberBins.of(values[:, index]) for index in range(FIGURES)}
    return values, bins, {name: bins[name].place(values[:, int(name)]) for name in bins}


MIXING = np.eye(FIGURES) + 0.4
FAMILIES = {str(index): "scores" if index < 2 else "statistics" for index in range(FIGURES)}


def noise_of(codes: dict, bins: dict, sample: int, **changes: int) -> Noise:
    return sampling_noise(codes, bins, FAMILIES, sample=sample, **{"draws": 2000, **changes})


@pytest.mark.parametrize(("rows", "sample"), [(300, 200), (300, 20_000), (2_000, 1_500)])
def test_all_figures_together_pass_the_threshold_about_as_rarely_as_asked(rows: int, sample: int) -> None:
    chance = np.random.default_rng(11)
    p_values = []
    for _ in range(60):
        _, bins, codes = reference_of(chance, rows)
        current = chance.normal(size=(sample, FIGURES)) @ MIXING
        counts = count_codes({name: bins[name].place(current[:, int(name)]) for name in bins}, bins)
        known = count_codes(codes, bins)
        indices = np.array([float(psi(known.bins[name], counts.bins[name])) for name in bins])
        p_values.append(noise_of(codes, bins, sample, draws=500).p_value(indices))
    # of 60 at 10 %: 6 expected, fewer than 1 or more than 14 in one of a thousand
    assert 1 <= (np.array(p_values) <= 0.1).sum() <= 14


def test_a_threshold_for_all_is_above_the_one_for_each() -> None:
    _, bins, codes = reference_of(np.random.default_rng(1), 400)
    together = noise_of(codes, bins, 150).thresholds(0.99)
    alone = noise_of({"0": codes["0"]}, bins, 150).thresholds(0.99)
    assert together["0"] > alone["0"]


def test_noise_shrinks_with_more_images_and_passes_the_usual_bound_on_few() -> None:
    _, bins, codes = reference_of(np.random.default_rng(2), 400)
    few, some, many = (max(noise_of(codes, bins, count).thresholds(0.99).values()) for count in (60, 800, 50_000))
    assert few > 0.2 > some > many


def test_noise_is_the_same_for_the_same_seed() -> None:
    _, bins, codes = reference_of(np.random.default_rng(3), 200)
    first, second = (noise_of(codes, bins, 90, seed=5).thresholds(0.99) for _ in range(2))
    assert first == second


def test_drawing_by_covariance_gives_what_drawing_images_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    _, bins, codes = reference_of(np.random.default_rng(4), 1_500)
    by_covariance = noise_of(codes, bins, 1_200).thresholds(0.95)
    monkeypatch.setattr("monitoring.drift.noise.MANY", 10**9)
    by_images = noise_of(codes, bins, 1_200).thresholds(0.95)
    for name in codes:
        assert by_covariance[name] == pytest.approx(by_images[name], rel=0.12)


def test_small_moves_of_every_figure_add_up_in_the_combined_score() -> None:
    chance = np.random.default_rng(5)
    values = chance.normal(size=(500, FIGURES))
    bins: dict[str, Bins] = {str(index): NumberBins.of(values[:, index]) for index in range(FIGURES)}
    codes = {name: bins[name].place(values[:, int(name)]) for name in bins}
    current = chance.normal(0.28, 1, size=(300, FIGURES))
    counts = count_codes({name: bins[name].place(current[:, int(name)]) for name in bins}, bins)
    known = count_codes(codes, bins)
    indices = np.array([float(psi(known.bins[name], counts.bins[name])) for name in bins])
    noise = noise_of(codes, bins, 300)
    assert float(noise.score(indices)) > noise.threshold(0.99)
    assert float(noise.score(indices)) > float(noise.standardised(indices).max())


def test_a_word_the_reference_never_held_is_not_impossible() -> None:
    bins: dict[str, Bins] = {"view": CategoryBins.of(["PA"] * 200)}
    codes = {"view": bins["view"].place(["PA"] * 200)}
    noise = sampling_noise(codes, bins, {"view": "acquisition"}, sample=200)
    one_other = float(psi(np.array([200, 0]), np.array([199, 1])))
    half_other = float(psi(np.array([200, 0]), np.array([100, 100])))
    assert one_other < noise.thresholds(0.99)["view"] < half_other


def test_more_draws_are_taken_for_a_rarer_alarm() -> None:
    assert draws_for(0.9) < draws_for(0.999) < draws_for(0.99999) == draws_for(0.9999999)
