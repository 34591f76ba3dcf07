"""How often drift is told though there is none, and how often it is found when there is some, on real radiographs."""

from typing import Any

import numpy as np
from drift_pool import FAMILIES, NAMES, Pool, bins_of
from rich.progress import track

from monitoring.drift.bins import count_codes
from monitoring.drift.distances import psi
from monitoring.drift.noise import draws_for, sampling_noise

SIZES = (200, 1_000, 5_000, 20_000)
REFERENCE = 600
LEVEL, BOUND = 0.995, 0.2
"""As the installed plan has them."""
MOST_FALSE = 1.0
Row = dict[str, Any]
SHIFTS: tuple[tuple[str, dict[str, float]], ...] = (
    ("contrast 2 % lower", {"contrast": 0.98}),
    ("contrast 5 % lower", {"contrast": 0.95}),
    ("contrast 10 % lower", {"contrast": 0.9}),
    ("second site 20 % -> 30 %", {"first_site": 0.7}),
    ("second site 20 % -> 45 %", {"first_site": 0.55}),
    ("second site 20 % -> 70 %", {"first_site": 0.3}),
    ("pneumonia 30 % -> 35 %", {"prevalence": 0.35}),
    ("pneumonia 30 % -> 40 %", {"prevalence": 0.4}),
    ("pneumonia 30 % -> 60 %", {"prevalence": 0.6}),
)


def false_alarms(pool: Pool, *, windows: int) -> list[Row]:
    """Return how many of `windows` windows of each size alarm, though reference and window are drawn alike."""
    rows = []
    for size in SIZES:
        share, _ = _alarms(pool, size, {}, windows)
        alarms = _row(f"false alarms, windows of {size:,}", share, windows)
        rows.append({**alarms, "target": MOST_FALSE, "holds": share <= MOST_FALSE})
    return rows


def power(pool: Pool, *, windows: int) -> list[Row]:
    """Return how many windows with each shift are found at each size: beyond chance, and beyond the bound too."""
    rows = []
    for name, shift in SHIFTS:
        for size in SIZES:
            told, drifted = _alarms(pool, size, shift, windows)
            rows.append({**_row(f"{name}, windows of {size:,}", told, windows), "peer": drifted})
    return rows


def _row(name: str, ours: float, runs: int) -> Row:
    unit = "% of windows beyond chance; peer: beyond the bound too"
    nothing = {"peer": None, "ratio": None, "target": None, "holds": None}
    return {"name": name, "ours": ours, "unit": unit, "runs": runs, **nothing}


def _alarms(pool: Pool, size: int, shift: dict[str, float], windows: int) -> tuple[float, float]:
    """Return the percentages of windows with anything beyond chance, and with a figure beyond the bound too."""
    chance = np.random.default_rng(size)
    told = drifted = 0
    for turn in track(range(windows), description=f"{size} {shift}", transient=True):
        reference, window = pool.draw(REFERENCE, chance), pool.draw(size, chance, **shift)
        bins = bins_of(reference)
        codes = {name: bins[name].place(reference[:, index]) for index, name in enumerate(NAMES)}
        counts = count_codes({name: bins[name].place(window[:, index]) for index, name in enumerate(NAMES)}, bins)
        known = count_codes(codes, bins)
        noise = sampling_noise(codes, bins, FAMILIES, sample=size, draws=draws_for(LEVEL), seed=turn)
        indices = np.array([float(psi(known.bins[name], counts.bins[name])) for name in NAMES])
        bounds = np.array(list(noise.thresholds(LEVEL).values()))
        told += bool((indices > bounds).any() or float(noise.score(indices)) > noise.threshold(LEVEL))
        drifted += bool(((indices > bounds) & (indices > BOUND)).any())
    return round(100 * told / windows, 2), round(100 * drifted / windows, 2)
