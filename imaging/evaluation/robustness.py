"""What a model's figures become when its images change: noise, blur, contrast, tilt, JPEG and so on, and an attack.

Measured on a sample of the test part, the same images and patients before and after, so that a drop is paired. By
itself an evaluation measures the first severity of each corruption on 60 images, which is what the gate reads and costs
a few seconds; a thorough one measures every severity on up to 600. Drops of all gated corruptions are judged together:
the more one asks, the more often chance answers.
"""

import numpy as np
import numpy.typing as npt

from imaging.evaluation.attack import attacked, gradient_signs
from imaging.evaluation.bootstrap import LEAST_DEFINED, intervals, percentile_interval, resample
from imaging.evaluation.corruptions import CORRUPTIONS, Images, corrupt
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.figure import Figure
from imaging.evaluation.metrics import Array, Labels, accuracy, auroc_per_class, one_weighting
from imaging.evaluation.robustness_schema import Attacked, Corrupted, Robustness
from imaging.evaluation.subject import Subject
from imaging.inference import Predictor

MOST_IMAGES = {"sample": 60, "thorough": 600}
"""Enough for a drop of 0.1 to stand out four times in five, few enough for a CPU."""
LEAST_OF_A_CLASS = 12
"""With fewer, many resamples would lack a class, and there would be no interval."""
MOST_ATTACKED = {"sample": 24, "thorough": 200}
MOST_OF_A_PATIENT = 4
"""Images: one patient with hundreds of films would be the whole sample."""
EPSILONS = (1, 2, 4)
CONFIDENCE = 95.0

Rows = npt.NDArray[np.int64]


def robustness_of(subject: Subject, answers: Answers) -> Robustness | None:
    """Measure the model on a sample of its own test part.

    Pictures are asked in a thorough evaluation only, since the severities are those of radiography; an external set is
    not asked: whose figures are lower there would be measured twice.
    """
    if subject.test_part == "external" or (subject.info.subject == "picture" and not subject.thorough):
        return None
    most = MOST_IMAGES["thorough" if subject.thorough else "sample"]
    most = max(most, LEAST_OF_A_CLASS * len(answers.classes))
    chosen = choose_sample(answers.labels, answers.patients, most=most, seed=answers.seed)
    return measure_robustness(
        subject.predictor,
        np.asarray(subject.images[subject.test[chosen]]),
        answers.labels[chosen],
        answers.patients[chosen],
        plain=answers.probabilities[chosen],
        thorough=subject.thorough,
        resamples=answers.resamples,
        seed=answers.seed,
    )


def choose_sample(labels: Labels, patients: npt.NDArray, *, most: int, seed: int = 0) -> Rows:
    """Choose images of as many patients as there are, about as many of every class, in a fixed order of chance.

    Returns:
        Places in `labels`, at most `most`, one class after the other in turn: the first of them are a sample too.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    _, first, codes = np.unique(patients[order], return_index=True, return_inverse=True)
    by_patient = np.lexsort((np.arange(len(order)), first[codes]))
    order, met = order[by_patient], first[codes][by_patient]
    place = _place_within(met)
    # one image of everybody before a second of anybody: the more patients, the more is known
    order = order[np.argsort(place, kind="stable")][: int((place < MOST_OF_A_PATIENT).sum())]
    within = np.empty(len(order), dtype=np.int64)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels[order] == label)
        within[mine] = np.arange(len(mine))
    return order[np.lexsort((labels[order], within))][:most]


def _place_within(keys: Rows) -> Rows:
    """Return how many equal keys come before each; equal keys lie next to each other."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))


def measure_robustness(
    predictor: Predictor,
    images: Images,
    labels: Labels,
    patients: npt.NDArray,
    *,
    plain: Array,
    thorough: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> Robustness:
    """Ask the model the sample again, changed in each way.

    Args:
        predictor: Answers.
        images: (N, S, S) or (N, S, S, 3) uint8, of `choose_sample`.
        labels: (N,) class indices.
        patients: (N,) keys.
        plain: (N, C) calibrated probabilities of the images as they are.
        thorough: Measure every severity, not only the first.
        resamples: Bootstrap draws of patients.
        seed: Of the draws, and of what is random in a change.
    """
    steps = [
        (name, level) for name, one in CORRUPTIONS.items() for level in (range(len(one.levels)) if thorough else (0,))
    ]
    answers = [predictor.probabilities(corrupt(images, name, level, seed=seed)) for name, level in steps]
    whole, rows = compare_answers(plain, answers, steps, labels, patients, resamples=resamples, seed=seed)
    few = slice(MOST_ATTACKED["thorough" if thorough else "sample"])
    before, attacks = _attack(
        predictor, images[few], labels[few], patients[few], plain[few], resamples=resamples, seed=seed
    )
    return Robustness(
        n_images=len(labels),
        n_patients=len(np.unique(patients)),
        every_severity=thorough,
        macro_auroc=whole,
        corruptions=rows,
        attacked_images=len(labels[few]),
        accuracy=before,
        attacks=attacks,
    )


def compare_answers(
    plain: Array,
    answers: list[Array],
    steps: list[tuple[str, int]],
    labels: Labels,
    patients: npt.NDArray,
    *,
    resamples: int,
    seed: int,
) -> tuple[Figure, tuple[Corrupted, ...]]:
    """Return macro AUROC of the sample as it is, and a row for each of `steps`.

    Args:
        plain: (N, C) probabilities of the images as they are.
        answers: The same of the changed images, one array a step.
        steps: Corruption and level of each.
        labels: (N,) class indices.
        patients: (N,) keys.
        resamples: Draws of patients.
        seed: Of the draws.
    """

    def statistic(weights: Array) -> dict[str, Array]:
        found = [auroc_per_class(one, labels, weights).mean(axis=1) for one in (plain, *answers)]
        return {str(index): values for index, values in enumerate(found)}

    values = [float(one[0]) for one in statistic(one_weighting(len(labels))).values()]
    drawn = np.stack(list(resample(statistic, patients, resamples=resamples, seed=seed).values()), axis=1)
    drops, drawn_drops = values[0] - np.array(values[1:]), drawn[:, :1] - drawn[:, 1:]
    gated = np.array([CORRUPTIONS[name].gated and level == 0 for name, level in steps])
    lowest = np.full(len(steps), np.nan)
    lowest[gated] = lower_bounds(drops[gated], drawn_drops[:, gated])
    rows = []
    for index, (name, level) in enumerate(steps):
        kind = CORRUPTIONS[name]
        rows.append(
            Corrupted(
                corruption=name,
                title=kind.title,
                severity=level + 1,
                level=kind.texts[level],
                gated=bool(gated[index]),
                macro_auroc=percentile_interval(values[index + 1], drawn[:, index + 1]),
                drop=percentile_interval(float(drops[index]), drawn_drops[:, index]),
                lowest_drop=float(lowest[index]) if np.isfinite(lowest[index]) else None,
                changed=_share_changed(plain, answers[index]),
            )
        )
    return percentile_interval(values[0], drawn[:, 0]), tuple(rows)


def lower_bounds(values: Array, drawn: Array) -> Array:
    """Return lower bounds that hold all at once with 95 % confidence.

    The single-step maximum statistic of Westfall & Young 1993, "Resampling-Based Multiple Testing", section 2.3, with
    studentised bootstrap draws: figures that move together are not charged twice, as Bonferroni's correction would.

    Args:
        values: (K,) figures.
        drawn: (R, K) the same of R resamples.
    """
    defined = drawn[np.isfinite(drawn).all(axis=1)]
    if not np.isfinite(values).all() or len(defined) < LEAST_DEFINED * len(drawn) or not len(values):
        return np.full(len(values), np.nan)
    spread = defined.std(axis=0)
    excess = np.divide(defined - values, spread, out=np.zeros_like(defined), where=spread > 0)
    return values - np.percentile(excess.max(axis=1), CONFIDENCE) * spread


def _attack(
    predictor: Predictor,
    images: Images,
    labels: Labels,
    patients: npt.NDArray,
    plain: Array,
    *,
    resamples: int,
    seed: int,
) -> tuple[Figure, tuple[Attacked, ...]]:
    """Return the accuracy before the attack, and a row for each step."""
    signs = gradient_signs(predictor, images, labels)
    answers = [predictor.probabilities(attacked(images, signs, epsilon)) for epsilon in EPSILONS]

    def statistic(weights: Array) -> dict[str, Array]:
        return {str(index): accuracy(one, labels, weights) for index, one in enumerate((plain, *answers))}

    found = list(intervals(statistic, patients, resamples=resamples, seed=seed).values())
    rows = [
        Attacked(epsilon=epsilon, accuracy=figure, changed=_share_changed(plain, answer))
        for epsilon, figure, answer in zip(EPSILONS, found[1:], answers, strict=True)
    ]
    return found[0], tuple(rows)


def _share_changed(before: Array, after: Array) -> float:
    return float((before.argmax(axis=1) != after.argmax(axis=1)).mean())
