"""Picks the cases of the Grad-CAM sheet: typical right answers, and the wrong ones the model was surest of."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imaging.evaluation.evaluate import Answers
from imaging.evaluation.report import Case
from imaging.explain import overlay_png
from imaging.inference import Predictor

PER_CLASS = 2
MOST_WRONG = 6


def choose_cases(answers: Answers) -> tuple[list[int], list[int]]:
    """Return test positions of right and of wrong cases.

    Right ones are those of middling confidence in each class: the best ones would flatter the model.
    """
    top, confidence = answers.probabilities.argmax(axis=1), answers.probabilities.max(axis=1)
    right: list[int] = []
    for index in range(len(answers.classes)):
        hits = np.flatnonzero((answers.labels == index) & (top == index))
        ranked = hits[np.argsort(confidence[hits], kind="stable")]
        middle = max(0, len(ranked) // 2 - PER_CLASS // 2)
        right += ranked[middle : middle + PER_CLASS].tolist()
    misses = np.flatnonzero(top != answers.labels)
    wrong = misses[np.argsort(-confidence[misses], kind="stable")][:MOST_WRONG].tolist()
    return right, wrong


def explain_cases(
    predictor: Predictor, images: npt.NDArray[np.uint8], answers: Answers, *, views: Sequence[str]
) -> tuple[list[Case], list[Case]]:
    """Overlay Grad-CAM for the predicted class on the chosen cases of the test images (N, S, S)."""
    right, wrong = choose_cases(answers)
    chosen = [*right, *wrong]
    if not chosen:
        return [], []
    found = predictor.predict(images[chosen], views=[views[i] for i in chosen], explain="grad-cam")
    cases = []
    for position, prediction in zip(chosen, found, strict=True):
        heat_map = np.zeros(images.shape[1:]) if prediction.heat_map is None else prediction.heat_map
        cases.append(
            Case(
                overlay=overlay_png(images[position], heat_map),
                plain=gray_png(images[position]),
                truth=answers.classes[answers.labels[position]],
                prediction=prediction.prediction,
                probability=prediction.probabilities[prediction.prediction],
                decision=prediction.decision,
            )
        )
    return cases[: len(right)], cases[len(right) :]


def gray_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode one image (S, S) as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
