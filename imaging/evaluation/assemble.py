"""Puts every measurement of one model into one `Evaluation`."""

from typing import Any

import numpy as np

from imaging.data.splits import find_overlap
from imaging.evaluation import confounding, subgroups
from imaging.evaluation.evaluate import Answers, evaluate_calibration, evaluate_classes
from imaging.evaluation.identity import answers_digest
from imaging.evaluation.limits import plain_limits
from imaging.evaluation.metrics import confusion_matrix
from imaging.evaluation.schema import (
    ChampionComparison,
    Evaluation,
    Latency,
    SourceConfounding,
    SplitOverlap,
    Subgroup,
)
from imaging.evaluation.subject import Subject

COPIED = (
    "recipe",
    "architecture",
    "initial_weights",
    "classes",
    "critical_classes",
    "floors",
    "operating_points",
    "operating_point_rule",
)
"""Fields of the model's description that the report repeats."""


def assemble(
    subject: Subject, answers: Answers, *, champion: ChampionComparison | None, latency: Latency
) -> Evaluation:
    """Measure everything that is not given, and return the whole."""
    per_class, overall = evaluate_classes(answers)
    groups = compare_subgroups(subject, answers)
    origin = probe_confounding(subject, answers)
    overlap = find_overlap(subject.data, subject.split)
    patients = len(np.unique(answers.patients))
    return Evaluation(
        **describe(subject),
        n_images=len(answers.labels),
        n_patients=patients,
        resamples=answers.resamples,
        seed=answers.seed,
        per_class=per_class,
        overall=overall,
        confusion=tuple(map(tuple, confusion_matrix(answers.probabilities, answers.labels).tolist())),
        calibration=evaluate_calibration(answers, temperature=subject.info.temperature),
        subgroups=groups,
        source_confounding=origin,
        champion=champion,
        latency=latency,
        overlap=SplitOverlap(patients=overlap.patients, duplicates=overlap.duplicates),
        limits=plain_limits(
            initial_weights=subject.info.initial_weights, confounding=origin, subgroups=groups, patients=patients
        ),
    )


def describe(subject: Subject) -> dict[str, Any]:
    """Return what the report says about the model and where it came from."""
    digests = {
        "dataset": subject.data.digest,
        "split": subject.split.digest,
        "answers": answers_digest(subject.directory),
    }
    copied = {name: getattr(subject.info, name) for name in COPIED}
    return {"model_name": subject.info.name, "digests": digests, **copied}


def compare_subgroups(subject: Subject, answers: Answers) -> tuple[Subgroup, ...]:
    """Compare the test part's subgroups with the whole of it."""
    return subgroups.evaluate_subgroups(
        answers.probabilities,
        answers.labels,
        answers.patients,
        {name: subject.data.column(name)[subject.test] for name in subgroups.COLUMNS},
        classes=answers.classes,
        resamples=answers.resamples,
        seed=answers.seed,
    )


def probe_confounding(subject: Subject, answers: Answers) -> SourceConfounding:
    """Ask the whole dataset where its classes come from, and the frame of its images what it gives away."""
    data, train, test = subject.data, subject.split.parts["train"], subject.test
    border = confounding.border_probe(
        (confounding.border_features(data.images[train]), subject.labels[train]),
        (confounding.border_features(data.images[test]), subject.labels[test]),
        answers.patients,
        n_classes=len(answers.classes),
        resamples=answers.resamples,
        seed=answers.seed,
    )
    columns = {name: data.column(name) for name in confounding.COLUMNS}
    return confounding.source_confounding(
        subject.labels, data.patients, columns, classes=answers.classes, border=border
    )
