"""Picks the cases of the Grad-CAM sheet: typical right answers, the surest wrong ones, referred ones."""

import io
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imaging.evaluation.evaluate import Answers
from imaging.evaluation.report import Case
from imaging.evaluation.subject import Subject
from imaging.explain import overlay_png
from imaging.inference import Prediction
from imaging.models.layers import layout_of

PER_CLASS = 2
MOST_RIGHT = 20
"""With more than ten classes, one right case of each, and of the first twenty only."""
MOST_WRONG = 6
MOST_REFERRED = 6
MOST_LOOKED_AT = 24
"""Images asked for the sheet of referred cases."""
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


def choose_doubtful(answers: Answers, taken: Sequence[int]) -> list[int]:
    """Return test positions among which triage is likely to refer some: the least confident ones, then any."""
    free = np.setdiff1d(np.arange(len(answers.labels)), np.asarray(taken, np.int64))
    unsure = free[np.argsort(answers.probabilities.max(axis=1)[free], kind="stable")][: MOST_LOOKED_AT // 2]
    rest = np.random.default_rng(answers.seed).permutation(np.setdiff1d(free, unsure))
    return [*unsure.tolist(), *rest[: MOST_LOOKED_AT - len(unsure)].tolist()]


def explain_cases(subject: Subject, answers: Answers) -> tuple[list[Case], list[Case], list[Case]]:
    """Overlay Grad-CAM for the predicted class on right, wrong and referred cases; no other image is read.

    Any case may be referred; the last list has others than the first two, with as many different reasons as are found.
    """
    right, wrong = choose_cases(answers)
    chosen = [*right, *wrong]
    cases = _cases(subject, answers, [*chosen, *choose_doubtful(answers, chosen)])
    return cases[: len(right)], cases[len(right) : len(chosen)], one_for_each_reason(cases[len(chosen) :])


def one_for_each_reason(cases: Sequence[Case]) -> list[Case]:
    """Return at most `MOST_REFERRED` of the referred cases, taking one for each set of reasons in turn."""
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        if case.reasons:
            groups.setdefault(case.reasons, []).append(case)
    rounds = itertools.zip_longest(*groups.values())
    return [case for each in rounds for case in each if case is not None][:MOST_REFERRED]


def _cases(subject: Subject, answers: Answers, positions: Sequence[int]) -> list[Case]:
    if not positions:
        return []
    rows = subject.test[list(positions)]
    images = np.asarray(subject.images[rows])
    views = [str(view) for view in subject.data.column("view")[rows]]
    has_map = layout_of(subject.predictor.model).known
    found = subject.predictor.predict(images, views=views, explain="grad-cam" if has_map else "none")
    return [
        _case(small, prediction, truth=answers.classes[answers.labels[position]])
        for position, small, prediction in zip(positions, images, found, strict=True)
    ]


def _case(small: npt.NDArray[np.uint8], prediction: Prediction, *, truth: str) -> Case:
    image = enlarged(small)
    heat_map = np.zeros(image.shape[:2]) if prediction.heat_map is None else prediction.heat_map
    return Case(
        overlay=overlay_png(image, heat_map),
        plain=plain_png(image),
        truth=truth,
        prediction=prediction.prediction,
        probability=prediction.probabilities[prediction.prediction],
        decision=prediction.decision,
        reasons=prediction.reasons,
    )


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
