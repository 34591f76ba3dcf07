"""What each rule's threshold does on the test part, beside the one that is used."""

import numpy as np

from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.metrics import Array, ratio
from imaging.evaluation.operating_schema import AtThreshold, OperatingRules
from imaging.models.directory import ModelInfo

FIGURES = ("sensitivity", "specificity", "ppv", "npv")


def at_threshold(scores: Array, positive: np.ndarray, threshold: float, weights: Array) -> dict[str, Array]:
    """Return sensitivity, specificity, PPV and NPV of calling from `threshold`, each (R,).

    Args:
        scores: (N,) calibrated probability of the class.
        positive: (N,) whether the image is of the class.
        threshold: The probability from which it is called.
        weights: (R, N).
    """
    called = scores >= threshold
    cells = np.stack([called & positive, called & ~positive, ~called & positive, ~called & ~positive], axis=1)
    hits, false_alarms, misses, quiet = (weights @ cells.astype(float)).T
    return {
        "sensitivity": ratio(hits, hits + misses),
        "specificity": ratio(quiet, quiet + false_alarms),
        "ppv": ratio(hits, hits + false_alarms),
        "npv": ratio(quiet, quiet + misses),
    }


def measure_rules(info: ModelInfo, answers: Answers) -> OperatingRules | None:
    """Measure every rule's threshold of each class; `None` for a model that has none."""
    options = {
        name: info.operating_point_options[name] for name in info.operating_point_options if name in answers.classes
    }
    if not options:
        return None

    def statistic(weights: Array) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, thresholds in options.items():
            index = answers.classes.index(name)
            for kind, threshold in thresholds.items():
                figures = at_threshold(answers.probabilities[:, index], answers.labels == index, threshold, weights)
                found |= {f"{name}/{kind}/{figure}": values for figure, values in figures.items()}
        return found

    found = intervals(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed, corrected=True)
    classes = {
        name: {
            kind: AtThreshold(
                threshold=threshold,
                used=kind == info.operating_rule.kind,
                **{figure: found[f"{name}/{kind}/{figure}"] for figure in FIGURES},
            )
            for kind, threshold in thresholds.items()
        }
        for name, thresholds in options.items()
    }
    return OperatingRules(rule=info.operating_rule, classes=classes)
