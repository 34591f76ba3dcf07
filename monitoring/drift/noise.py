"""What distances come to by chance: windows of the same size drawn again and again from the reference itself.

Whole images are drawn, so figures stay as correlated as they are, and one threshold holds for all of them together:
each figure's index is brought to a normal scale by what it comes to without drift (Wilson & Hilferty 1931), and the
largest of a draw is compared (Westfall & Young 1993, max-T). The reference is a sample too, whose bins were laid to
fit it: so a population is drawn from it first, the window from that, and the window is compared with the reference as
it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.drift.bins import Bins, NumberBins
from monitoring.drift.distances import psi

FEWEST_DRAWS, MOST_DRAWS = 2_000, 20_000
DRAWS_BEYOND = 15
"""Draws that should lie beyond the threshold, for it to be known well enough."""
MANY = 1_000
"""From this many rows on either side, shares are normal enough to be drawn by their covariance."""
AT_ONCE = 500
SMALLEST_SPREAD = 1e-9
COMBINED = "combined"
UNSEEN = 0.5
"""Jeffreys' count for each bin of a word: what the reference happens not to hold may still be there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What chance alone gives at one window size.

    Attributes:
        names: The figures, in order.
        families: Each figure's family, for the combined score.
        means: (F,) mean index without drift.
        freedom: (F,) degrees of freedom of the chi-square that the index resembles.
        combined: Mean and deviation of the combined score before it is standardised.
        largest: (R,) the largest standardised value of each draw, the combined one among them; ascending.
    """

    names: tuple[str, ...]
    families: tuple[str, ...]
    means: np.ndarray
    freedom: np.ndarray
    combined: tuple[float, float]
    largest: np.ndarray

    def threshold(self, level: float) -> float:
        """Return the standardised value that all together stay below with probability `level`."""
        return float(np.quantile(self.largest, level, method="higher"))

    def thresholds(self, level: float) -> dict[str, float]:
        """Return the index that each figure stays below, all of them at once, with probability `level`."""
        spread = 2 / (9 * self.freedom)
        bound = self.means * np.maximum(self.threshold(level) * np.sqrt(spread) + 1 - spread, 0) ** 3
        return dict(zip(self.names, bound.tolist(), strict=True))

    def standardised(self, indices: np.ndarray) -> np.ndarray:
        """Return indices (..., F) on a scale on which chance is about standard normal."""
        spread = 2 / (9 * self.freedom)
        known = self.means > 0
        ratio = np.where(known, indices / np.where(known, self.means, 1), 0)
        return np.where(known, (np.cbrt(ratio) - 1 + spread) / np.sqrt(spread), np.where(indices > 0, np.inf, 0))

    def score(self, indices: np.ndarray) -> np.ndarray:
        """Return the combined score of indices (..., F), about standard normal without drift."""
        mean, deviation = self.combined
        return (_by_family(self.standardised(indices), self.families) - mean) / deviation

    def p_value(self, indices: np.ndarray) -> float:
        """Return how often chance gives a largest value like that of `indices` (F,), at least 1 / (draws + 1)."""
        most = max(float(self.standardised(indices).max(initial=-np.inf)), float(self.score(indices)))
        beyond = len(self.largest) - int(np.searchsorted(self.largest, most, side="left"))
        return (beyond + 1) / (len(self.largest) + 1)


def draws_for(level: float) -> int:
    """Return how many draws a threshold at `level` takes."""
    return int(np.clip(round(DRAWS_BEYOND / (1 - level)), FEWEST_DRAWS, MOST_DRAWS))


def sampling_noise(
    codes: Mapping[str, np.ndarray],
    bins: Mapping[str, Bins],
    families: Mapping[str, str],
    *,
    sample: int,
    known: Mapping[str, int] | None = None,
    draws: int = FEWEST_DRAWS,
    seed: int = 0,
) -> Noise:
    """Draw windows of `sample` images from the reference and find what their distances come to.

    Args:
        codes: By figure, the bin of each reference row (M,); -1 where it is absent. A word, and a figure that any row
            lacks, is drawn by itself.
        bins: By figure.
        families: By figure: figures of one family weigh as much as another family in the combined score.
        sample: Images of the window.
        known: How many of them have the figure, where that is not all.
        draws: How many.
        seed: The answer is the same for the same seed.
    """
    chance = np.random.default_rng(seed)
    present = [name for name in codes if (codes[name] >= 0).all() and (known or {}).get(name, sample) == sample]
    whole = [name for name in present if isinstance(bins[name], NumberBins)]
    drawn = _together({name: codes[name] for name in whole}, bins, sample, draws, chance)
    for name in codes:
        if name not in drawn:
            drawn[name] = _alone(codes[name], bins[name].count, (known or {}).get(name, sample), draws, chance)
    names = tuple(codes)
    indices = np.stack([drawn[name] for name in names], axis=1)
    means, variances = indices.mean(axis=0), indices.var(axis=0)
    freedom = np.where(variances > 0, 2 * means**2 / np.where(variances > 0, variances, 1), 1.0)
    kinds = tuple(families[name] for name in names)
    rough = Noise(names=names, families=kinds, means=means, freedom=freedom, combined=(0.0, 1.0), largest=np.empty(0))
    values = rough.standardised(indices)
    together = _by_family(values, kinds)
    combined = (float(together.mean()), float(together.std()) or 1.0)
    largest = np.maximum(values.max(axis=1), (together - combined[0]) / combined[1])
    return Noise(names=names, families=kinds, means=means, freedom=freedom, combined=combined, largest=np.sort(largest))


def _by_family(values: np.ndarray, families: tuple[str, ...]) -> np.ndarray:
    """Return the mean over families of the mean within each, of values (..., F)."""
    kinds = np.array(families)
    return np.mean([values[..., kinds == kind].mean(axis=-1) for kind in sorted(set(families))], axis=0)


def _together(
    codes: Mapping[str, np.ndarray], bins: Mapping[str, Bins], sample: int, draws: int, chance: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return each figure's index (draws,) between the reference and a window, whole images drawn."""
    if not codes:
        return {}
    widths = [bins[name].count for name in codes]
    starts = np.concatenate([[0], np.cumsum(widths)])
    rows = len(next(iter(codes.values())))
    held = np.zeros((rows, int(starts[-1])), dtype=np.float32)
    for start, places in zip(starts, codes.values(), strict=False):
        held[np.arange(rows), start + places] = 1
    counts = held.sum(axis=0)
    root = _root(held) if sample > rows or min(sample, rows) > MANY else None
    found: dict[str, list[np.ndarray]] = {name: [] for name in codes}
    for begin in range(0, draws, AT_ONCE):
        count = min(AT_ONCE, draws - begin)
        if root is None:
            window = _drawn(held, sample, count, chance)
        elif rows > MANY:
            mean = counts / rows
            window = _spread(sample * mean, root, sample * np.sqrt(1 / sample + 1 / rows), count, chance)
        else:
            population = _population(held, count, chance) @ held / rows
            window = _spread(sample * population, root, np.sqrt(sample), count, chance)
        for name, start, end in zip(codes, starts, starts[1:], strict=False):
            found[name].append(psi(counts[start:end], window[:, start:end]))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _root(held: np.ndarray) -> np.ndarray:
    """Return a square root (K, L) of the covariance of rows (M, K), in as many directions as it has."""
    mean = held.mean(axis=0, dtype=np.float64)
    covariance = (held.T @ held).astype(np.float64) / len(held) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance)
    there = values > SMALLEST_SPREAD
    return np.asarray(vectors[:, there] * np.sqrt(values[there]), dtype=np.float32)


def _spread(mean: np.ndarray, root: np.ndarray, reach: float, draws: int, chance: np.random.Generator) -> np.ndarray:
    """Return counts (draws, K) about `mean`, (K,) or (draws, K), normal with `reach` times `root` (K, L)."""
    normal = chance.standard_normal((draws, root.shape[1]), dtype=np.float32)
    return np.maximum(mean + np.float32(reach) * (normal @ root.T), 0)


def _population(held: np.ndarray, draws: int, chance: np.random.Generator) -> np.ndarray:
    """Return how often each row of `held` (M, K) is in a population (draws, M) of M rows drawn from them."""
    rows = len(held)
    return _times(chance.integers(0, rows, (draws, rows)), rows)


def _drawn(held: np.ndarray, sample: int, draws: int, chance: np.random.Generator) -> np.ndarray:
    """Return counts (draws, K) of windows: a population is drawn from the rows `held` (M, K), and they from it."""
    rows = len(held)
    population = chance.integers(0, rows, (draws, rows))
    picked = np.take_along_axis(population, chance.integers(0, rows, (draws, sample)), axis=1)
    return _times(picked, rows) @ held


def _times(picked: np.ndarray, rows: int) -> np.ndarray:
    """Return how often each of `rows` was picked (draws, N), (draws, rows) float32."""
    place = rows * np.arange(len(picked))[:, np.newaxis]
    found = np.bincount((picked + place).reshape(-1), minlength=len(picked) * rows)
    return found.reshape(len(picked), rows).astype(np.float32)


def _alone(places: np.ndarray, count: int, sample: int, draws: int, chance: np.random.Generator) -> np.ndarray:
    """Return a figure's index (draws,) from its own shares."""
    counts = np.bincount(places[places >= 0], minlength=count)
    likely = chance.dirichlet(counts + UNSEEN, size=draws)
    return psi(counts, chance.multinomial(max(sample, 1), likely))
