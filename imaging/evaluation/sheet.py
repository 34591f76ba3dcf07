"""Picks the cases of the Grad-CAM sheet: typical right answers, and the wrong ones the model was surest of."""

import io

import numpy as np
import numpy.typing as npt

from imaging.evaluation.evaluate import Answers
from imaging.evaluation.report import Case
from imaging.evaluation.subject import Subject
from imaging.explain import overlay_png

PER_CLASS = 2
MOST_RIGHT = 20
"""With more than ten classes, one right case of each, and of the first twenty only."""
MOST_WRONG = 6
SHOWN_SIDE = 128
"""Pixels; a smaller image is enlarged to about this."""


def choose_cases(answers: Answers) -> tuple[list[int], list[int]]:
    """Return test positions of right and of wrong cases.

    Right ones are those of middling confidence in each class: the best ones would flatter the model.
    """
    top, confidence = answers.probabilities.argmax(axis=1), answers.probabilities.max(axis=1)
    right: list[int] = []
    each = PER_CLASS if len(answers.classes) * PER_CLASS <= MOST_RIGHT else 1
    for index in range(min(len(answers.classes), MOST_RIGHT)):
        hits = np.flatnonzero((answers.labels == index) & (top == index))
        ranked = hits[np.argsort(confidence[hits], kind="stable")]
        middle = max(0, len(ranked) // 2 - each // 2)
        right += ranked[middle : middle + each].tolist()
    misses = np.flatnonzero(top != answers.labels)
    wrong = misses[np.argsort(-confidence[misses], kind="stable")][:MOST_WRONG].tolist()
    return right, wrong


def explain_cases(subject: Subject, answers: Answers) -> tuple[list[Case], list[Case]]:
    """Overlay Grad-CAM for the predicted class on the chosen cases of the test part; no other image is read."""
    right, wrong = choose_cases(answers)
    chosen = [*right, *wrong]
    if not chosen:
        return [], []
    rows = subject.test[chosen]
    images = np.asarray(subject.images[rows])
    views = [str(view) for view in subject.data.column("view")[rows]]
    found = subject.predictor.predict(images, views=views, explain="grad-cam")
    cases = []
    for position, small, prediction in zip(chosen, images, found, strict=True):
        image = enlarged(small)
        heat_map = np.zeros(image.shape[:2]) if prediction.heat_map is None else prediction.heat_map
        cases.append(
            Case(
                overlay=overlay_png(image, heat_map),
                plain=plain_png(image),
                truth=answers.classes[answers.labels[position]],
                prediction=prediction.prediction,
                probability=prediction.probabilities[prediction.prediction],
                decision=prediction.decision,
            )
        )
    return cases[: len(right)], cases[len(right) :]


def enlarged(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Repeat the pixels of a small image a whole number of times, so that a page shows them and not a blur."""
    times = max(1, SHOWN_SIDE // image.shape[0])
    return image.repeat(times, axis=0).repeat(times, axis=1)


def plain_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode one image, (S, S) grey or (S, S, 3) colour, as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
