"""Puts every measurement of one model into one `Evaluation`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from imaging.data.splits import find_overlap
from imaging.evaluation import confounding, subgroups
from imaging.evaluation.evaluate import Answers, evaluate_calibration, evaluate_classes
from imaging.evaluation.identity import answers_digest
from imaging.evaluation.limits import plain_limits
from imaging.evaluation.metrics import confusion_matrix
from imaging.evaluation.schema import (
    CalibrationSummary,
    ChampionComparison,
    Evaluation,
    Latency,
    SourceConfounding,
    SplitOverlap,
    Subgroup,
)
from imaging.evaluation.sections import measure_sections
from imaging.evaluation.subject import Subject
from imaging.models.directory import ModelInfo

COPIED = (
    "recipe",
    "architecture",
    "members",
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
    columns = {name: subject.data.column(name)[subject.test] for name in subgroups.COLUMNS}
    not_recorded = tuple(name for name, cells in columns.items() if not (cells.astype(str) != "").any())
    groups = compare_subgroups(answers, {name: columns[name] for name in columns if name not in not_recorded})
    origin = probe_confounding(subject, answers)
    overlap = find_overlap(subject.data, subject.split)
    sections = measure_sections(subject, answers)
    return Evaluation(
        **describe(subject),
        n_images=len(answers.labels),
        n_patients=len(np.unique(answers.patients)),
        resamples=answers.resamples,
        seed=answers.seed,
        per_class=per_class,
        overall=overall,
        confusion=tuple(map(tuple, confusion_matrix(answers.probabilities, answers.labels).tolist())),
        calibration=calibration_of(subject.info, answers),
        subgroups=groups,
        subgroups_not_recorded=not_recorded,
        subgroup_pairs=subgroups.count_pairs(answers.labels, answers.patients, columns, classes=answers.classes),
        source_confounding=origin,
        champion=champion,
        latency=latency,
        **sections,
        overlap=SplitOverlap(patients=overlap.patients, duplicates=overlap.duplicates),
        limits=plain_limits(
            initial_weights=subject.info.initial_weights,
            confounding=origin,
            subgroups=groups,
            count=count_of(subject, answers),
            subject=subject.info.subject,
            test_part=subject.test_part,
            shortcuts=sections.get("shortcuts"),
        ),
    )


def count_of(subject: Subject, answers: Answers) -> str:
    """Say how many patients were tested, or images where they have none."""
    if subject.info.subject == "radiograph":
        return f"{len(np.unique(answers.patients))} test patients"
    return f"{len(answers.labels)} test images"


def calibration_of(info: ModelInfo, answers: Answers) -> CalibrationSummary:
    """Measure how good the probabilities are, and say how they were calibrated."""
    return evaluate_calibration(
        answers, temperature=info.temperature, method=info.calibration_method, tried=info.calibration_tried
    )


def describe(subject: Subject) -> dict[str, Any]:
    """Return what the report says about the model and where it came from."""
    digests = {
        "dataset": subject.data.digest,
        "split": subject.split.digest,
        "answers": answers_digest(subject.directory),
    }
    copied = {name: getattr(subject.info, name) for name in COPIED}
    shown = {"subject": subject.info.subject, "test_part": subject.test_part}
    return {"model_name": subject.info.name, "digests": digests, **shown, **copied}


def compare_subgroups(answers: Answers, columns: Mapping[str, np.ndarray]) -> tuple[Subgroup, ...]:
    """Compare the test part's subgroups, by the columns that hold any value, with the whole of it."""
    return subgroups.evaluate_subgroups(
        answers.probabilities,
        answers.labels,
        answers.patients,
        columns,
        classes=answers.classes,
        resamples=answers.resamples,
        seed=answers.seed,
        operating_points=answers.operating_points,
    )


def probe_confounding(subject: Subject, answers: Answers) -> SourceConfounding:
    """Ask the whole dataset where its classes come from, and the frame of its images what it gives away.

    Asked of radiographs only: a picture comes from no hospital, and its frame belongs to what it shows.
    """
    if subject.info.subject == "picture":
        return confounding.not_asked("the images are pictures: no hospital or device to take for a disease")
    data, train, test = subject.data, subject.split.parts["train"], subject.test
    border = confounding.border_probe(
        (confounding.read_border_features(data.images, train), subject.labels[train]),
        (confounding.read_border_features(data.images, test), subject.labels[test]),
        answers.patients,
        n_classes=len(answers.classes),
        resamples=answers.resamples,
        seed=answers.seed,
    )
    columns = {name: data.column(name) for name in confounding.COLUMNS}
    return confounding.source_confounding(
        subject.labels, data.patients, columns, classes=answers.classes, border=border
    )
