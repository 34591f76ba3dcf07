"""Fits what a model needs to say how sure it is: its conformal rule, and the reference for unlike images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from imaging.evaluation.conformal import fit_conformal, fit_novelty
from imaging.evaluation.metrics import Array
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.subject import Subject
from imaging.models.novelty import NoveltyReference

MOST_IMAGES = 500
"""Of the training part behind the reference: a forward pass each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedDoubt:
    """The fields of `model.json` and the file that goes with them."""

    rules: dict[str, Any]
    reference: NoveltyReference


def fit_doubt(subject: Subject, probabilities: Array, held: np.ndarray, features: np.ndarray) -> FittedDoubt:
    """Fit the conformal rule on the calibration part, and the reference on the training part.

    Args:
        subject: The model, its dataset and split.
        probabilities: (N, C) calibrated, of the calibration part.
        held: (M,) images of the dataset that neither trained nor test the model, for the threshold.
        features: (M, F) of them.
    """
    part, patients = subject.split.parts["calibration"], subject.data.patients
    rule = fit_conformal(probabilities, subject.labels[part], patients[part], classes=subject.info.classes)
    train = sample_evenly(subject.split.parts["train"], subject.labels, MOST_IMAGES)
    _, known = subject.predictor.embeddings(subject.images, train)
    reference = NoveltyReference.fit(known, subject.labels[train])
    novelty = fit_novelty(reference.score(features), patients[held])
    return FittedDoubt(
        rules={"conformal": rule.model_dump(), "out_of_distribution": novelty.model_dump()}, reference=reference
    )
