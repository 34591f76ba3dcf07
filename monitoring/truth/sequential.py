"""A test of a rate that may be looked at after every label, for ever, and still errs as seldom as it says.

The null is that a rate is at most what the release was measured at. Against it bets a mixture over all higher rates:
the wealth of whoever bets so is a nonnegative supermartingale under the null, and so it ever passes 1 / level with
probability at most `level` (Ville 1939). Robbins 1970, "Statistical methods related to the law of the iterated
logarithm", for the mixture; Johari, Pekelis & Walsh 2022, "Always valid inference", for its use in monitoring (mSPRT).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

RATES = 64
"""Higher rates in the mixture, spread evenly between the null's and 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialTest:
    """What a stream of outcomes says against a null rate.

    Attributes:
        null_rate: The highest rate that is no alarm.
        level: Of the test.
        wealth: (N,) after each outcome: how many times as well the higher rates explain all of them.
        alarm_at: How many outcomes it took to pass 1 / level; None where it never did.
    """

    null_rate: float
    level: float
    wealth: np.ndarray
    alarm_at: int | None

    @property
    def p_value(self) -> float:
        """A p that holds however often and whenever one looked."""
        return float(min(1.0, 1 / self.wealth.max())) if len(self.wealth) else 1.0


def bet_against(outcomes: np.ndarray, *, null_rate: float, level: float) -> SequentialTest:
    """Bet against a rate of at most `null_rate`.

    Args:
        outcomes: (N,) of bool in the order in which they became known: whether what should be rare happened.
        null_rate: In [0, 1); a null of 0 is taken for the smallest rate that can be bet on.
        level: Of a false alarm, ever.
    """
    null = float(np.clip(null_rate, 1e-6, 1 - 1e-6))
    rates = null + (1 - null) * (np.arange(RATES) + 0.5) / RATES
    happened = np.cumsum(outcomes.astype(np.float64))
    not_happened = np.arange(1, len(outcomes) + 1) - happened
    gain = happened[:, np.newaxis] * np.log(rates / null)
    gain = gain + not_happened[:, np.newaxis] * np.log((1 - rates) / (1 - null))
    log_wealth = logsumexp(gain, axis=1) - np.log(RATES)
    beyond = np.flatnonzero(log_wealth >= -np.log(level))
    return SequentialTest(
        null_rate=null_rate,
        level=level,
        wealth=np.exp(np.minimum(log_wealth, 700.0)),
        alarm_at=int(beyond[0]) + 1 if len(beyond) else None,
    )
