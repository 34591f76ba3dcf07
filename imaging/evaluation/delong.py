"""An AUROC's interval without resampling: the cross-check of the bootstrap's.

DeLong, DeLong & Clarke-Pearson 1988, extended to several images of a patient by Obuchowski 1997, "Nonparametric
analysis of clustered ROC curve data": each image's share of the wins is summed by patient before its variance is
taken. With one image a patient it is DeLong's. The interval is symmetric on the logit scale, so that it stays
within 0 and 1 (Pepe 2003, section 5.2).
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from imaging.evaluation.metrics import Array
from imaging.evaluation.schema import Figure


def delong_interval(
    scores: Array, positive: npt.NDArray[np.bool_], patients: npt.NDArray, *, level: float = 0.95
) -> Figure:
    """Return an AUROC with its interval.

    Args:
        scores: (N,) any monotone score.
        positive: (N,) whether the image is of the class.
        patients: (N,) keys.
        level: Of the interval.

    Returns:
        No interval where fewer than two patients have positive, or negative, images, or where the area is 0 or 1; no
        value where a side has no image.
    """
    hits, alarms = int(positive.sum()), int((~positive).sum())
    if not hits or not alarms:
        return Figure(value=None)
    wins = _win_shares(scores, positive)
    area = float(wins[positive].mean())
    sides = (_by_patient(wins - area, positive, patients), _by_patient(wins - area, ~positive, patients))
    holders = [len(np.unique(patients[side])) for side in (positive, ~positive)]
    if min(holders) < 2 or not 0 < area < 1:
        return Figure(value=area)
    whole = len(np.unique(patients))
    own = [n / (n - 1) * float(np.square(side).sum()) for n, side in zip(holders, sides, strict=True)]
    shared = whole / (whole - 1) * float((sides[0] * sides[1]).sum())
    variance = own[0] / hits**2 + own[1] / alarms**2 + 2 * shared / (hits * alarms)
    reach = norm.ppf(0.5 + level / 2) * np.sqrt(max(variance, 0.0)) / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-reach, reach]))
    return Figure(value=area, low=float(low), high=float(high))


def _win_shares(scores: Array, positive: npt.NDArray[np.bool_]) -> Array:
    """Return for each image the share of the other side's images that it stands rightly to; ties are halves."""
    among_all, shares = rankdata(scores), np.empty(len(scores))
    for side in (positive, ~positive):
        beaten = among_all[side] - rankdata(scores[side])
        shares[side] = beaten / (~side).sum()
    shares[~positive] = 1 - shares[~positive]
    return shares


def _by_patient(values: Array, side: npt.NDArray[np.bool_], patients: npt.NDArray) -> Array:
    """Sum up each patient's values of one side, 0 where they have none."""
    _, codes = np.unique(patients, return_inverse=True)
    return np.bincount(codes, weights=np.where(side, values, 0.0)).astype(np.float64, copy=False)
