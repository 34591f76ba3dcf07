"""Conformal quantiles from a part that trained nothing, and how far coverage may fall by chance.

Split conformal prediction (Vovk, Gammerman & Shafer 2005; Angelopoulos & Bates 2023, section 1) with the patient as the
unit: each patient weighs as one, shared among their images, and one more patient is taken to lie beyond all. With one
image a patient this is the ordinary quantile; with several, it keeps the promise for an image of a new patient (Lee,
Barber & Willett 2023, "Distribution-free inference with hierarchical data", section 3).

The temperature is fitted on the same part. It is one number, fitted to all images alike; how little that costs is
shown by simulation in the tests.
"""

import numpy as np
import numpy.typing as npt

from imaging.errors import DataError
from imaging.evaluation.metrics import Array, Labels
from imaging.models.uncertainty_rules import ConformalRule, NoveltyRule

LEVEL = 0.9
"""Promise of the prediction sets."""
NOVELTY_LEVEL = 0.98
"""One patient in 50 who is like the others may be referred as unlike them."""
CHANCE = 0.95
"""Of the interval in which coverage lies when the promise holds."""
ROUNDING = 1e-9


def patient_quantile(scores: Array, patients: npt.NDArray, *, level: float) -> float:
    """Return the smallest score that a new patient's image stays at or below with probability `level` or more.

    Args:
        scores: (N,) of the calibration part.
        patients: (N,) keys.
        level: Between 0 and 1.

    Returns:
        Infinity where the patients are too few: with n of them, `level` can be at most n / (n + 1).
    """
    _, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum((1 / counts)[codes][order])
    place = int(np.searchsorted(reached, level * (len(counts) + 1) - ROUNDING))
    return float(scores[order][place]) if place < len(scores) else float("inf")


def fit_conformal(
    probabilities: Array, labels: Labels, patients: npt.NDArray, *, classes: tuple[str, ...], level: float = LEVEL
) -> ConformalRule:
    """Fit the marginal quantile, and one for each class on its own images (Mondrian).

    Args:
        probabilities: (N, C) calibrated, of the calibration part.
        labels: (N,) class indices.
        patients: (N,) keys.
        classes: Names, in the order of the columns.
        level: The promise.

    Raises:
        DataError: when the part is empty or a probability is no number.
    """
    if len(labels) == 0 or not np.isfinite(probabilities).all():
        raise DataError("expected finite probabilities of a calibration part, got some that are not, or no image")
    scores = 1 - probabilities[np.arange(len(labels)), labels]
    own = {name: labels == index for index, name in enumerate(classes)}
    return ConformalRule(
        level=level,
        quantile=min(1.0, patient_quantile(scores, patients, level=level)),
        class_quantiles={
            name: min(1.0, patient_quantile(scores[mine], patients[mine], level=level)) for name, mine in own.items()
        },
        patients=len(np.unique(patients)),
        class_patients={name: len(np.unique(patients[mine])) for name, mine in own.items()},
    )


def fit_novelty(scores: Array, patients: npt.NDArray, *, level: float = NOVELTY_LEVEL) -> NoveltyRule:
    """Fit the threshold of the out-of-distribution score on images that did not make its reference.

    Where the patients are too few for the level, it is the largest score among them.
    """
    threshold = patient_quantile(scores, patients, level=level)
    return NoveltyRule(threshold=min(threshold, float(scores.max())), level=level, patients=len(np.unique(patients)))


def coverage_limits(level: float, calibrated: int, tested: int, *, chance: float = CHANCE) -> tuple[float, float]:
    """Return between which shares the coverage of `tested` patients lies by chance when the promise holds.

    Given the calibration part, coverage is a draw of Beta(k, n + 1 - k) with k = ceil(level (n + 1)) (Vovk 2012,
    section 2; Angelopoulos & Bates 2023, section 3.2), so the number covered is beta-binomial. Several images of one
    patient only narrow it.

    Args:
        level: The promise.
        calibrated: Patients behind the quantile.
        tested: Patients of the test part.
        chance: Of the two-sided interval.
    """
    from scipy.stats import betabinom

    place = int(np.ceil(level * (calibrated + 1) - ROUNDING))
    if place > calibrated or tested == 0:
        return (1.0, 1.0) if tested else (0.0, 1.0)
    law = betabinom(tested, place, calibrated + 1 - place)
    return float(law.ppf((1 - chance) / 2) / tested), float(law.ppf((1 + chance) / 2) / tested)
