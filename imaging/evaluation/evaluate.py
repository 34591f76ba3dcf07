"""From a test part's probabilities to the figures of `Evaluation`: pure functions on arrays."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from imaging.errors import DataError
from imaging.evaluation.bootstrap import centred_interval, intervals, percentile_interval, resample
from imaging.evaluation.delong import delong_interval
from imaging.evaluation.expected_calibration_error import (
    BINS,
    chance_error,
    debiased_error,
    equal_mass_bins,
    equal_mass_error,
    maximum_error,
    plugin_error,
    sensible_bins,
)
from imaging.evaluation.metrics import (
    Array,
    Labels,
    all_metrics,
    auroc_per_class,
    brier,
    negative_log_likelihood,
    one_weighting,
)
from imaging.evaluation.schema import (
    CalibrationSummary,
    ChampionComparison,
    ClassMetrics,
    Figure,
    Overall,
    ReliabilityBin,
)
from imaging.models.calibration_map import CalibrationTry, Method

MARGIN_LEVELS = (5.0, 95.0)
"""Percentiles of a one-sided 95 % bound."""

PER_CLASS = tuple(
    name for name, field in ClassMetrics.model_fields.items() if field.annotation is Figure and name != "auroc_delong"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """A model's answers for a test part, and the truth.

    Attributes:
        before: (N, C) probabilities, uncalibrated.
        probabilities: (N, C) calibrated.
        labels: (N,) class indices.
        patients: (N,) keys.
        classes: Names, in the order of the columns.
        operating_points: Threshold of each critical class.
        resamples: Number of bootstrap draws.
        seed: Of the draws.
    """

    before: Array
    probabilities: Array
    labels: Labels
    patients: npt.NDArray
    classes: tuple[str, ...]
    operating_points: dict[str, float] = field(default_factory=dict)
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        count = len(self.labels)
        expected = (count, len(self.classes))
        if count == 0 or self.probabilities.shape != expected or self.before.shape != expected:
            raise DataError(
                f"expected probabilities of shape {expected} for the test part, got {self.probabilities.shape}"
            )
        if not np.isfinite(self.probabilities).all() or not np.isfinite(self.before).all():
            raise DataError("expected finite probabilities, got some that are not: the model cannot be evaluated")


def evaluate_classes(answers: Answers) -> tuple[dict[str, ClassMetrics], Overall]:
    """Every metric with its interval, per class and over all classes."""
    thresholds = {answers.classes.index(name): point for name, point in answers.operating_points.items()}

    def statistic(weights: Array) -> dict[str, Array]:
        return all_metrics(answers.probabilities, answers.labels, weights, thresholds=thresholds)

    found = intervals(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed, corrected=True)
    per_class = {name: _class_metrics(answers, name, found) for name in answers.classes}
    return per_class, Overall(**{name: found[name] for name in Overall.model_fields})


def _class_metrics(answers: Answers, name: str, found: dict[str, Figure]) -> ClassMetrics:
    index = answers.classes.index(name)
    mine = answers.labels == index
    point = answers.operating_points.get(name)
    figures = {metric: found[f"{metric}/{index}"] for metric in PER_CLASS}
    return ClassMetrics(
        n_images=int(mine.sum()),
        n_patients=len(np.unique(answers.patients[mine])),
        decision="argmax" if point is None else "operating point",
        operating_point=point,
        auroc_delong=delong_interval(answers.probabilities[:, index], mine, answers.patients),
        **figures,
    )


def likelihood(probabilities: Array, labels: Labels, weights: Array) -> dict[str, Array]:
    """Return the figures that see every probability and not the top one alone, each (R,)."""
    return {
        "nll": negative_log_likelihood(probabilities, labels, weights),
        "brier": brier(probabilities, labels, weights),
    }


def evaluate_calibration(
    answers: Answers, *, temperature: float, method: Method = "temperature", tried: tuple[CalibrationTry, ...] = ()
) -> CalibrationSummary:
    """Calibration error before and after calibration by `method`, the paired change, and how it was chosen."""

    def statistic(weights: Array) -> dict[str, Array]:
        labels = answers.labels
        return {
            "plugin_before": plugin_error(answers.before, labels, weights),
            "plugin_after": plugin_error(answers.probabilities, labels, weights),
            "debiased_before": debiased_error(answers.before, labels, weights),
            "debiased_after": debiased_error(answers.probabilities, labels, weights),
            "equal_mass_before": equal_mass_error(answers.before, labels, weights),
            "equal_mass_after": equal_mass_error(answers.probabilities, labels, weights),
            "maximum_before": maximum_error(answers.before, labels, weights),
            "maximum_after": maximum_error(answers.probabilities, labels, weights),
            **{f"{name}_before": values for name, values in likelihood(answers.before, labels, weights).items()},
            **{f"{name}_after": values for name, values in likelihood(answers.probabilities, labels, weights).items()},
        }

    values = dict(statistic(one_weighting(len(answers.labels))))
    drawn = resample(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed)
    found = {name: centred_interval(float(values[name][0]), drawn[name], lowest=0.0) for name in values}
    change = centred_interval(
        float(values["debiased_after"][0] - values["debiased_before"][0]),
        drawn["debiased_after"] - drawn["debiased_before"],
    )
    return CalibrationSummary(
        temperature=temperature,
        method=method,
        tried=tried,
        bins=BINS,
        debiased_bins=sensible_bins(len(answers.labels)),
        chance=chance_error(answers.probabilities, seed=answers.seed),
        change=change,
        reliability=reliability(answers.probabilities, answers.labels),
        **found,
    )


def reliability(probabilities: Array, labels: Labels) -> tuple[ReliabilityBin, ...]:
    """Return the reliability curve's points: bins of equally many images, least sure first."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    member = equal_mass_bins(confidence, sensible_bins(len(labels)))
    bins = [member == one for one in np.unique(member)]
    return tuple(
        ReliabilityBin(
            n_images=int(mask.sum()), confidence=float(confidence[mask].mean()), accuracy=float(correct[mask].mean())
        )
        for mask in bins
    )


def compare_with_champion(answers: Answers, champion: Array, *, digest: str) -> ChampionComparison:
    """Compare macro AUROC on the same images and the same resamples.

    Args:
        answers: The challenger's.
        champion: (N, C) the champion's calibrated probabilities of the same images and classes.
        digest: The champion's package digest.
    """

    def statistic(weights: Array) -> dict[str, Array]:
        ours = auroc_per_class(answers.probabilities, answers.labels, weights).mean(axis=1)
        theirs = auroc_per_class(champion, answers.labels, weights).mean(axis=1)
        return {"delta": ours - theirs}

    def alone(weights: Array) -> dict[str, Array]:
        return {"champion": auroc_per_class(champion, answers.labels, weights).mean(axis=1)}

    values = statistic(one_weighting(len(answers.labels)))
    drawn = resample(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed)
    return ChampionComparison(
        champion_digest=digest,
        delta_macro_auroc=percentile_interval(float(values["delta"][0]), drawn["delta"], levels=MARGIN_LEVELS),
        champion_macro_auroc=intervals(
            alone, answers.patients, resamples=answers.resamples, seed=answers.seed, corrected=True
        )["champion"],
    )
