"""What an evaluation says about how sure the model is."""

from typing import Literal

from imaging.config import Frozen
from imaging.evaluation.figure import Figure


class SetCoverage(Frozen):
    """Prediction sets of some patients; each patient weighs the same, however many images they have."""

    n_patients: int
    coverage: Figure
    """Share whose set holds the true class."""
    size: Figure
    """Mean number of classes in a set."""


class Coverage(Frozen):
    """Conformal prediction sets against their promise. The served sets are the marginal ones."""

    level: float
    calibration_patients: int
    quantile: float
    marginal: SetCoverage
    lowest: float
    highest: float
    """Between which coverage lies in 95 of 100 splits when the promise holds, given the patients of both parts."""
    single: Figure
    """Share with one class in the set."""
    conditional: SetCoverage
    """With a quantile for each class, which promises the level to each of them."""
    per_class: dict[str, SetCoverage]
    conditional_per_class: dict[str, SetCoverage]


class ProbeResult(Frozen):
    """Images of one kind that the model was not made for."""

    name: str
    n_images: int
    beyond_threshold: float
    """Share that the out-of-distribution score refers."""
    referred: float
    """Share that triage refers, for whatever reason."""
    auroc: float | None
    """How well the score tells them from the test images."""


class Novelty(Frozen):
    """The out-of-distribution score and its threshold."""

    level: float
    threshold: float
    calibration_patients: int
    test_beyond_threshold: Figure
    """Share of the test images that the score refers; 1 - `level` is expected of patients like the others."""
    probes: tuple[ProbeResult, ...]


class SelectivePoint(Frozen):
    """Accuracy on the share of images that the model is surest of."""

    share: float
    accuracy: Figure


class RiskCoverage(Frozen):
    """What is gained by referring what the model is least sure of (El-Yaniv & Wiener 2010)."""

    area: Figure
    """Mean error over all shares reported (AURC, Geifman & El-Yaniv 2017); 0 at best."""
    best_area: float
    """The area if all errors were the least sure answers."""
    points: tuple[SelectivePoint, ...]


class TriageOutcome(Frozen):
    """What the one rule of triage does with the test images."""

    n_images: int
    n_patients: int
    reported: Figure
    """Share of images reported."""
    accuracy_reported: Figure
    accuracy_referred: Figure
    reasons: dict[str, float]
    """Share of images each reason refers; an image may have several."""


class ErrorDetection(Frozen):
    """How well a signal tells wrong answers from right ones, as AUROC."""

    n_images: int
    n_wrong: int
    entropy: Figure
    mutual_information: Figure
    novelty: Figure
    passes: int
    voices: Literal["thinned heads", "members"] = "thinned heads"
    """Whose disagreement it is: of so many thinned heads, or of the members of an ensemble."""


class Uncertainty(Frozen):
    """How sure the model is, and whether that can be relied on."""

    coverage: Coverage
    novelty: Novelty
    risk_coverage: RiskCoverage
    triage: TriageOutcome
    error_detection: ErrorDetection
    sampled: int
    """Test images whose features were looked at again: for triage, error detection and the score."""
