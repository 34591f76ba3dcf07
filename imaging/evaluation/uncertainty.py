"""How sure the model is: prediction sets, unlike images, thinned heads, and what triage does with all of it."""

import numpy as np
import numpy.typing as npt

from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.conformal import coverage_limits
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.figure import MISSING, Figure
from imaging.evaluation.metrics import Array, auroc, one_weighting, ratio
from imaging.evaluation.probes import PROBES
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.selective import accuracy_at, risk_area
from imaging.evaluation.subject import Subject
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
from imaging.inference import Doubt
from imaging.models.mc_dropout import PASSES, entropy_nats
from imaging.models.prediction_set import in_set
from imaging.models.triage import REASONS, triage
from imaging.models.uncertainty_rules import ConformalRule

MOST_IMAGES = 200
"""Test images whose features are looked at again, drawn evenly from the classes: a forward pass each."""
PROBE_IMAGES = 16
"""Of each kind."""
SHARES = np.arange(1, 21) / 20


def measure_uncertainty(subject: Subject, answers: Answers) -> Uncertainty | None:
    """Measure the section; `None` for a model that was calibrated before there were such rules."""
    info = subject.info
    if info.conformal is None or info.out_of_distribution is None:
        return None
    places = sample_evenly(np.arange(len(answers.labels)), answers.labels, MOST_IMAGES)
    rows = subject.test[places]
    doubt = subject.predictor.doubt(subject.images, rows)
    views = subject.data.column("view")[rows].astype(str)
    return Uncertainty(
        coverage=measure_coverage(answers, info.conformal),
        novelty=measure_novelty(subject, answers, places, doubt),
        risk_coverage=measure_risk_coverage(answers),
        triage=measure_triage(subject, answers, places, doubt, views),
        error_detection=measure_error_detection(answers, places, doubt, members=subject.info.members),
        sampled=len(places),
    )


def shares_of_patients(patients: npt.NDArray) -> Array:
    """Weigh each image (N,) so that the images of a patient weigh 1 together."""
    _, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    return (1 / counts)[codes]


def measure_coverage(answers: Answers, rule: ConformalRule) -> Coverage:
    """Hold the sets of the test part against the truth."""
    quantiles = np.array([rule.class_quantiles.get(name, 1.0) for name in answers.classes])
    sets = {"marginal": in_set(answers.probabilities, rule.quantile), "own": in_set(answers.probabilities, quantiles)}
    everybody = np.full(len(answers.labels), True)
    mine = {name: answers.labels == index for index, name in enumerate(answers.classes)}
    marginal = _set_coverage(answers, sets["marginal"], everybody)
    lowest, highest = coverage_limits(rule.level, rule.patients, marginal.n_patients)
    single = _means(answers, everybody, {"single": sets["marginal"].sum(axis=1) == 1}, by_patient=True)["single"]
    return Coverage(
        level=rule.level,
        calibration_patients=rule.patients,
        quantile=rule.quantile,
        marginal=marginal,
        lowest=lowest,
        highest=highest,
        single=single,
        conditional=_set_coverage(answers, sets["own"], everybody),
        per_class={name: _set_coverage(answers, sets["marginal"], own) for name, own in mine.items()},
        conditional_per_class={name: _set_coverage(answers, sets["own"], own) for name, own in mine.items()},
    )


def _set_coverage(answers: Answers, held: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> SetCoverage:
    covered = held[np.arange(len(held)), answers.labels]
    found = _means(answers, chosen, {"coverage": covered, "size": held.sum(axis=1)}, by_patient=True)
    return SetCoverage(n_patients=len(np.unique(answers.patients[chosen])), **found)


def _means(
    answers: Answers, chosen: npt.NDArray, values: dict[str, npt.NDArray], *, by_patient: bool = False
) -> dict[str, Figure]:
    """Average `values` (N,) over `chosen` images with patient-level intervals; by patient, each patient weighs 1."""
    if not chosen.any():
        return dict.fromkeys(values, MISSING)
    patients = answers.patients[chosen]
    own = shares_of_patients(patients) if by_patient else np.ones(len(patients))
    picked = {name: np.asarray(one, dtype=np.float64)[chosen] for name, one in values.items()}

    def statistic(weights: Array) -> dict[str, Array]:
        weighted = weights * own
        return {name: ratio(weighted @ one, weighted.sum(axis=1)) for name, one in picked.items()}

    return intervals(statistic, patients, resamples=answers.resamples, seed=answers.seed)


def measure_novelty(subject: Subject, answers: Answers, places: npt.NDArray, doubt: Doubt) -> Novelty:
    """Say how many of the test images and of each kind of probe lie beyond the threshold."""
    rule = subject.info.out_of_distribution
    if rule is None or doubt.novelty is None:
        raise ValueError("the model holds no reference")
    beyond = np.zeros(len(answers.labels))
    beyond[places] = doubt.novelty > rule.threshold
    chosen = np.isin(np.arange(len(beyond)), places)
    images = np.asarray(subject.images[subject.test[places[:: max(1, len(places) // PROBE_IMAGES)]][:PROBE_IMAGES]])
    rng = np.random.default_rng(answers.seed)
    return Novelty(
        level=rule.level,
        threshold=rule.threshold,
        calibration_patients=rule.patients,
        test_beyond_threshold=_means(answers, chosen, {"beyond": beyond}, by_patient=True)["beyond"],
        probes=tuple(_probe(subject, name, made(images, rng), doubt.novelty) for name, made in PROBES.items()),
    )


def _probe(subject: Subject, name: str, images: npt.NDArray[np.uint8], of_test: Array) -> ProbeResult:
    """Ask the model about one kind of probe; what the header would say is taken to be in order."""
    found = subject.predictor.predict(images)
    novelty = np.array([np.inf if one.novelty is None else one.novelty for one in found])
    scores = np.r_[of_test, novelty]
    told = auroc(scores, np.arange(len(scores)) >= len(of_test), one_weighting(len(scores)))
    return ProbeResult(
        name=name,
        n_images=len(images),
        beyond_threshold=float(np.mean(["out_of_distribution" in one.reasons for one in found])),
        referred=float(np.mean([one.decision == "refer" for one in found])),
        auroc=float(told[0]) if np.isfinite(told[0]) else None,
    )


def measure_risk_coverage(answers: Answers) -> RiskCoverage:
    """Refer the least sure of all test images, more and more of them."""
    confidence = answers.probabilities.max(axis=1)
    wrong = answers.probabilities.argmax(axis=1) != answers.labels

    def statistic(weights: Array) -> dict[str, Array]:
        kept = accuracy_at(confidence, wrong, weights, SHARES)
        return {"area": risk_area(confidence, wrong, weights), **{str(i): kept[:, i] for i in range(len(SHARES))}}

    found = intervals(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed)
    points = [SelectivePoint(share=float(share), accuracy=found[str(i)]) for i, share in enumerate(SHARES)]
    best = risk_area(1.0 - wrong + np.linspace(0, 1e-6, len(wrong)), wrong, one_weighting(len(wrong)))
    return RiskCoverage(area=found["area"], best_area=float(best[0]), points=tuple(points))


def measure_triage(
    subject: Subject, answers: Answers, places: npt.NDArray, doubt: Doubt, views: npt.NDArray
) -> TriageOutcome:
    """Apply the one rule to the sample; a column of views in which nothing is recorded is not asked."""
    told = bool((subject.data.column("view").astype(str) != "").any())
    reasons = [
        triage(
            row,
            subject.info,
            view=str(views[i]) if told else None,
            novelty=None if doubt.novelty is None else float(doubt.novelty[i]),
        )
        for i, row in enumerate(doubt.probabilities)
    ]
    right = answers.probabilities.argmax(axis=1) == answers.labels
    chosen, reported = (np.full(len(right), False) for _ in range(2))
    chosen[places] = True
    reported[places] = [not one for one in reasons]
    return TriageOutcome(
        n_images=len(places),
        n_patients=len(np.unique(answers.patients[places])),
        reported=_means(answers, chosen, {"reported": reported})["reported"],
        accuracy_reported=_means(answers, chosen & reported, {"right": right})["right"],
        accuracy_referred=_means(answers, chosen & ~reported, {"right": right})["right"],
        reasons={name: float(np.mean([name in one for one in reasons])) for name in REASONS},
    )


def measure_error_detection(answers: Answers, places: npt.NDArray, doubt: Doubt, *, members: int = 1) -> ErrorDetection:
    """Say how well entropy, disagreement of thinned heads and unlikeness tell the sample's wrong answers."""
    wrong = answers.probabilities[places].argmax(axis=1) != answers.labels[places]
    signals = {
        "entropy": entropy_nats(answers.probabilities[places]),
        "mutual_information": doubt.mutual_information_nats,
        "novelty": doubt.novelty,
    }
    present = {name: values for name, values in signals.items() if values is not None}

    def statistic(weights: Array) -> dict[str, Array]:
        return {name: auroc(values, wrong, weights) for name, values in present.items()}

    found = dict.fromkeys(signals, MISSING)
    if wrong.any() and not wrong.all():
        found |= intervals(statistic, answers.patients[places], resamples=answers.resamples, seed=answers.seed)
    return ErrorDetection(
        n_images=len(places),
        n_wrong=int(wrong.sum()),
        passes=PASSES if members == 1 else members,
        voices="thinned heads" if members == 1 else "members",
        **found,
    )
