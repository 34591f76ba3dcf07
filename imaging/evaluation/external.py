"""The same model, temperature and operating points on another dataset: what is lost between hospitals.

Zech et al. 2018, "Variable generalization performance of a deep learning model to detect pneumonia in chest
radiographs", is why one hospital's test part is not enough.
"""

from dataclasses import replace

import numpy as np

from imaging.evaluation.bootstrap import percentile_interval, resample
from imaging.evaluation.evaluate import Answers, evaluate_calibration
from imaging.evaluation.external_schema import External
from imaging.evaluation.figure import Figure
from imaging.evaluation.metrics import Array, auroc_per_class, balanced_accuracy, one_weighting
from imaging.evaluation.subject import Subject, answer_test_part, load_external

FIGURES = ("macro_auroc", "balanced_accuracy")


def external_of(subject: Subject, answers: Answers) -> External | None:
    """Measure the model on the other dataset that the evaluation was given, if any.

    Raises:
        DataError: when the model was trained on it, or does not know one of its classes.
    """
    if subject.elsewhere is None:
        return None
    other = load_external(subject.directory, subject.elsewhere)
    there = answer_test_part(other, resamples=answers.resamples, seed=answers.seed)
    return compare_sets(answers, there, dataset=other.data.digest, temperature=subject.info.temperature)


def compare_sets(here: Answers, there: Answers, *, dataset: str, temperature: float) -> External:
    """Return the figures of the other set, and how much lower they are than here."""
    # another seed: the same one would draw patients of two sets in step
    values, drawn = _figures(there), _drawn(replace(there, seed=there.seed + 1))
    own_values, own_drawn = _figures(here), _drawn(here)

    def drop(name: str) -> Figure:
        return percentile_interval(own_values[name] - values[name], own_drawn[name] - drawn[name])

    return External(
        dataset=dataset,
        n_images=len(there.labels),
        n_patients=len(np.unique(there.patients)),
        images_per_class={name: int((there.labels == index).sum()) for index, name in enumerate(there.classes)},
        calibration_error=evaluate_calibration(there, temperature=temperature).debiased_after,
        macro_auroc_drop=drop("macro_auroc"),
        balanced_accuracy_drop=drop("balanced_accuracy"),
        **{name: percentile_interval(values[name], drawn[name]) for name in FIGURES},
    )


def _statistic(answers: Answers, weights: Array) -> dict[str, Array]:
    return {
        "macro_auroc": auroc_per_class(answers.probabilities, answers.labels, weights).mean(axis=1),
        "balanced_accuracy": balanced_accuracy(answers.probabilities, answers.labels, weights),
    }


def _figures(answers: Answers) -> dict[str, float]:
    return {name: float(one[0]) for name, one in _statistic(answers, one_weighting(len(answers.labels))).items()}


def _drawn(answers: Answers) -> dict[str, Array]:
    return resample(
        lambda weights: _statistic(answers, weights),
        answers.patients,
        resamples=answers.resamples,
        seed=answers.seed,
    )
