"""The section on uncertainty of a model that keeps its promise, as small as it can be."""

from imaging.evaluation.figure import Figure
from imaging.evaluation.uncertainty_schema import (
    Coverage,
    ErrorDetection,
    Novelty,
    ProbeResult,
    RiskCoverage,
    SelectivePoint,
    SetCoverage,
    TriageOutcome,
    Uncertainty,
)


def around(value: float, spread: float = 0.02) -> Figure:
    return Figure(value=value, low=value - spread, high=value + spread)


def kept_promise() -> Uncertainty:
    """Coverage of 0.9 on 200 patients where 0.9 was promised on 100."""
    return Uncertainty(
        coverage=coverage(),
        novelty=novelty(),
        risk_coverage=RiskCoverage(
            area=around(0.05),
            best_area=0.01,
            points=tuple(SelectivePoint(share=n / 20, accuracy=around(1 - n / 120)) for n in range(1, 21)),
        ),
        triage=TriageOutcome(
            n_images=200,
            n_patients=190,
            reported=around(0.7),
            accuracy_reported=around(0.93),
            accuracy_referred=around(0.6),
            reasons={"ambiguous_set": 0.2, "low_confidence": 0.1, "out_of_distribution": 0.02},
        ),
        error_detection=ErrorDetection(
            n_images=200,
            n_wrong=30,
            entropy=around(0.8),
            mutual_information=Figure(value=None),
            novelty=around(0.6),
            passes=20,
        ),
        sampled=200,
    )


def coverage() -> Coverage:
    sets = SetCoverage(n_patients=200, coverage=around(0.9), size=around(1.2))
    per_class = dict.fromkeys(("covid", "normal", "pneumonia"), sets.model_copy(update={"n_patients": 66}))
    return Coverage(
        level=0.9,
        calibration_patients=100,
        quantile=0.7,
        marginal=sets,
        lowest=0.82,
        highest=0.96,
        single=around(0.8),
        conditional=sets,
        per_class=per_class,
        conditional_per_class=per_class,
    )


def novelty() -> Novelty:
    return Novelty(
        level=0.98,
        threshold=1.6,
        calibration_patients=150,
        test_beyond_threshold=around(0.02, 0.01),
        probes=(
            ProbeResult(name="noise", n_images=16, beyond_threshold=1.0, referred=1.0, auroc=1.0),
            ProbeResult(name="a drawn hand", n_images=16, beyond_threshold=0.5, referred=0.5, auroc=None),
        ),
    )
