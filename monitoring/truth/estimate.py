"""What sensitivity, specificity and AUROC should be by the model's own probabilities, before any label is there.

Confidence-based performance estimation, as NannyML's CBPE has it: an image with a calibrated probability p of a class
is p of a positive and 1 - p of a negative. It holds while the calibration does, and sees nothing of a model that is
wrong and sure of it; that is why it is shown beside what labels say, and never in their place.
"""

from dataclasses import dataclass

import numpy as np

from imaging.evaluation.metrics import Ranking, positive_calls


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """One class against the rest; None where there is nothing to divide by."""

    sensitivity: float | None
    specificity: float | None
    auroc: float | None
    prevalence: float


def estimate(probabilities: np.ndarray, thresholds: dict[int, float]) -> tuple[Estimate, ...]:
    """Estimate each class.

    Args:
        probabilities: (N, C) calibrated, N > 0.
        thresholds: Operating points by class index; other classes are called where they are the most probable.
    """
    calls = positive_calls(probabilities, thresholds)
    return tuple(_estimate(probabilities[:, index], calls[:, index]) for index in range(probabilities.shape[1]))


def _estimate(scores: np.ndarray, called: np.ndarray) -> Estimate:
    positive, negative = float(scores.sum()), float((1 - scores).sum())
    both = np.concatenate([scores, scores])
    is_positive = np.repeat([True, False], len(scores))
    weights = np.concatenate([scores, 1 - scores])[np.newaxis]
    area = float(Ranking.of(both, is_positive, weights).auroc()[0]) if positive and negative else np.nan
    return Estimate(
        sensitivity=float(scores[called].sum()) / positive if positive else None,
        specificity=float((1 - scores[~called]).sum()) / negative if negative else None,
        auroc=area if np.isfinite(area) else None,
        prevalence=positive / len(scores),
    )
