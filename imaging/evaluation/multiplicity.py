"""Many groups at once: intervals that hold all together, and p-values that know how many were looked at.

The largest of all standardised deviations in each resample replaces the normal distribution's quantile, so groups
that share patients cost less than Bonferroni's correction takes. Westfall & Young 1993, "Resampling-Based Multiple
Testing", algorithm 2.8 (step-down max-T); Romano & Wolf 2005, section 3.
"""

from dataclasses import dataclass

import numpy as np

from imaging.evaluation.metrics import Array
from imaging.evaluation.schema import Figure

LEAST_SPREAD = 1e-9
"""A difference that no resample moves is no question to be tested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """Figures of G groups judged at once.

    Attributes:
        intervals: Each with 95 % for all of them together; without one where resamples tell nothing.
        p_above: One-sided, that a value is above 0 by chance; `None` where it was not tested.
        reach: Standard errors on each side, 1.96 for a single normal figure.
    """

    intervals: tuple[Figure, ...]
    p_above: tuple[float | None, ...]
    reach: float | None


def judge_together(values: Array, drawn: Array, *, level: float = 0.95, bound: float = 1.0) -> Together:
    """Give all values intervals that hold together.

    Args:
        values: (G,) the differences found.
        drawn: (R, G) the same of each resample, all from the same draws; NaN where undefined.
        level: At which all intervals hold their truths at once.
        bound: No difference is beyond it on either side.
    """
    defined = np.isfinite(drawn).mean(axis=0) >= 0.9 if len(drawn) else np.zeros(len(values), bool)
    spread = np.full(len(values), np.nan)
    if defined.any():
        spread[defined] = np.nanstd(drawn[:, defined], axis=0, ddof=1)
    tested = np.flatnonzero(defined & np.isfinite(values) & (spread > LEAST_SPREAD))
    deviations = np.nan_to_num((drawn[:, tested] - values[tested]) / spread[tested])
    reach = float(np.quantile(np.abs(deviations).max(axis=1), level)) if len(tested) else None
    p_values = dict(zip(tested, _step_down(values[tested] / spread[tested], deviations), strict=True))
    intervals = []
    for index, value in enumerate(values):
        if index in p_values and reach is not None:
            low, high = np.clip(value + np.array([-reach, reach]) * spread[index], -bound, bound)
            intervals.append(Figure(value=value, low=low, high=high))
        elif defined[index] and np.isfinite(value):
            intervals.append(Figure(value=value, low=value, high=value))
        else:
            intervals.append(Figure(value=value))
    return Together(
        intervals=tuple(intervals),
        p_above=tuple(p_values.get(index) for index in range(len(values))),
        reach=reach,
    )


def _step_down(found: Array, deviations: Array) -> Array:
    """Return the adjusted one-sided p-value of each standardised value `found` (T,) given its noise (R, T)."""
    order = np.argsort(-found, kind="stable")
    largest_left = np.maximum.accumulate(deviations[:, order[::-1]], axis=1)[:, ::-1]
    beyond = (largest_left >= found[order]).sum(axis=0)
    adjusted = np.empty(len(found))
    adjusted[order] = np.maximum.accumulate((beyond + 1) / (len(deviations) + 1))
    return adjusted
