"""McNemar's test with one vote a patient: are two models right on the same images equally often?

McNemar 1947 counts the images that only one of two is right on. Images of one patient are no independent evidence, so
each patient votes once, with the difference of its shares: Durkalski, Palesch, Lipsitz & Rust 2003, "Analysis of
clustered matched-pair data", equation 2. With one image a patient it is McNemar's. Obuchowski 1998 gives patients with
more images more weight instead; here a patient is a patient.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, chi2

from imaging.evaluation.metrics import Array

MOST_ENUMERATED = 16
"""Patients with unequal votes whose signs are all tried: 65,536 ways."""
FEW = 25
"""Votes with which the chi-squared approximation is not relied upon (Agresti 2013, section 11.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """Votes won and lost by the first of two, and the chance of so uneven a count."""

    images_won: int
    images_lost: int
    patients_won: int
    patients_lost: int
    method: Literal["exact", "chi-squared", "no difference"]
    p: float | None


def clustered_mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], patients: npt.NDArray) -> PairedTest:
    """Compare two models' right answers.

    Args:
        first: (N,) whether the first is right.
        second: (N,) whether the second is.
        patients: (N,) keys.
    """
    _, codes = np.unique(patients, return_inverse=True)
    difference = first.astype(float) - second.astype(float)
    votes = np.bincount(codes, weights=difference) / np.maximum(np.bincount(codes), 1)
    votes = votes[np.abs(votes) > 1e-12]
    method, p = _test(votes)
    return PairedTest(
        images_won=int((difference > 0).sum()),
        images_lost=int((difference < 0).sum()),
        patients_won=int((votes > 0).sum()),
        patients_lost=int((votes < 0).sum()),
        method=method,
        p=p,
    )


def _test(votes: Array) -> tuple[Literal["exact", "chi-squared", "no difference"], float | None]:
    """Test that votes (K,), none 0, are as likely for either; exactly where they are few."""
    if not len(votes):
        return "no difference", None
    alike = np.ptp(np.abs(votes)) < 1e-12
    if alike and len(votes) < FEW:
        return "exact", float(binomtest(int((votes > 0).sum()), len(votes)).pvalue)
    if not alike and len(votes) <= MOST_ENUMERATED:
        return "exact", sign_flip_p(votes)
    return "chi-squared", float(chi2.sf(votes.sum() ** 2 / np.square(votes).sum(), 1))


def sign_flip_p(votes: Array) -> float:
    """Return the share of all sign patterns whose sum is at least as far from 0; the exact test for unequal votes."""
    sums = np.zeros(1)
    for vote in votes:
        sums = np.concatenate([sums + vote, sums - vote])
    return float(np.mean(np.abs(sums) >= abs(votes.sum()) - 1e-9))
