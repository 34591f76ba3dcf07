"""Can the class be told without looking at the lungs, and does the model do so? Said on the report's first screen.

Small probes that see the frame, the corners, letters, the size or the grey values of an image are fitted on the
training part and judged beside the model on the test part (Maguolo & Nanni 2021, "A critic evaluation of methods for
COVID-19 automatic detection from X-ray images", told covid from images whose lungs they had blacked out; DeGrave,
Janizek & Lee 2021). Then the model itself is asked images without lungs: that it still answers is the clearest proof.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from imaging.evaluation.bootstrap import intervals, percentile_interval, resample
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.figure import MISSING, Figure
from imaging.evaluation.metrics import Array, Labels, auroc_per_class, one_weighting
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.shortcut_features import Features, read_features, size_features
from imaging.evaluation.shortcut_statements import first_screen, is_found, statements
from imaging.evaluation.shortcuts_schema import Occlusion, Probe, ProbeName, Shortcuts
from imaging.evaluation.subject import Subject

MOST_TRAIN, MOST_TEST, MOST_OCCLUDED = 1200, 600, 96
"""Images: what reading them, and two more answers of the model, may cost."""
CLEARLY = 0.55
"""A lower 95 % bound of a macro AUROC above this is no chance: of 400 data sets with their classes dealt anew among the
patients, one raised an alarm; above 0.5, one in thirteen would."""
PENALTY = 100.0
"""Of the ridge regression on standardised features; the same for every probe and dataset, chosen before any result."""
CENTRE = 0.6
"""Share of the image's area that is painted over as the lungs; what is left is a frame of a ninth of the side."""
SEES: dict[ProbeName, tuple[str, str, bool]] = {
    "border": ("image border", "a frame of 1/14 of the side", False),
    "corners": ("four corners", "squares of 1/7 of the side", False),
    "text": ("letters and arrows at the edge", "small bright strokes in the outer 22 %: how many, how bright", False),
    "size": ("image size", "rows, columns and aspect of the file as it came", False),
    "histogram": ("grey values", "how often each occurs, not where", True),
}
Images = npt.NDArray[np.uint8]


def shortcuts_of(subject: Subject, answers: Answers) -> Shortcuts:
    """Ask the probes and the model about the subject's own test part, or say why not."""
    if subject.info.subject == "picture":
        return not_asked("the images are pictures: frame, corners and size belong to what they show")
    if subject.test_part == "external":
        return not_asked("an external set has no training part to fit a probe on; ask the model's own evaluation")
    chosen = sample_evenly(np.arange(len(answers.labels)), answers.labels, MOST_TEST, seed=answers.seed)
    train = sample_evenly(subject.split.parts["train"], subject.labels, MOST_TRAIN, seed=answers.seed)
    few = sample_evenly(chosen, answers.labels, MOST_OCCLUDED, seed=answers.seed)
    scores = probe_scores(subject, train, subject.test[chosen], count=len(answers.classes))
    judged = judge_probes(
        scores,
        answers.probabilities[chosen],
        answers.labels[chosen],
        answers.patients[chosen],
        classes=answers.classes,
        resamples=answers.resamples,
        seed=answers.seed,
    )
    occlusion = ask_without_lungs(
        subject.predictor.probabilities,
        np.asarray(subject.images[subject.test[few]]),
        answers.labels[few],
        answers.patients[few],
        plain=answers.probabilities[few],
        resamples=answers.resamples,
        seed=answers.seed,
    )
    found = judged.model_copy(update={"n_train": len(train), "occlusion": occlusion})
    return found.model_copy(
        update={
            "found": is_found(found),
            "statements": statements(found),
            "first_screen": first_screen(found),
        }
    )


def not_asked(why: str) -> Shortcuts:
    """Return the answer where the question does not apply."""
    return Shortcuts(statements=(f"shortcuts were not looked for: {why}",), not_asked=why)


def probe_scores(subject: Subject, train: npt.NDArray, test: npt.NDArray, *, count: int) -> dict[ProbeName, Array]:
    """Fit every probe on some rows of the dataset and return its scores (N, `count`) of others, by its name.

    Empty where the training rows lack a class; a probe is left out where all its training images look the same.
    """
    labels = subject.labels[train]
    if len(np.unique(labels)) < count:
        return {}
    seen, asked = read_features(subject.data.images, train), read_features(subject.data.images, test)
    sizes = {name: subject.data.column(name) for name in ("rows", "columns")}
    seen["size"], asked["size"] = size_features(sizes, train, test)
    told = [name for name in SEES if (seen[name] != seen[name][0]).any()]
    return {name: fit_and_score(seen[name], labels, asked[name]) for name in told}


def fit_and_score(seen: Features, labels: Labels, asked: Features) -> Array:
    """Return the scores (N, C) for `asked` of a ridge classifier fitted to `seen`; classes weigh the same."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=PENALTY, class_weight="balanced"))
    with threadpool_limits(1):  # a fit this small runs many times slower when threads contend for busy cores
        probe.fit(seen.astype(np.float64), labels)
        scores = np.asarray(probe.decision_function(asked.astype(np.float64)))
    return scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)


def judge_probes(
    scores: dict[ProbeName, Array],
    model: Array,
    labels: Labels,
    patients: npt.NDArray,
    *,
    classes: tuple[str, ...],
    resamples: int,
    seed: int,
) -> Shortcuts:
    """Give every probe's AUROC its interval, and the model's on the same images; what they mean is not yet said."""
    compared: dict[str, Array] = {"model": model, **{str(name): one for name, one in scores.items()}}
    figures = intervals(lambda drawn: _aurocs(compared, labels, drawn), patients, resamples=resamples, seed=seed)
    why = "all training images are the same in this" if scores else "the training part lacks a class"
    probes = []
    for name, (title, sees, holds_lung) in SEES.items():
        macro = figures.get(name, MISSING)
        probes.append(
            Probe(
                name=name,
                title=title,
                sees=sees,
                holds_lung=holds_lung,
                macro_auroc=macro,
                per_class={one: figures.get(f"{name}/{index}", MISSING) for index, one in enumerate(classes)},
                tells=is_clear(macro),
                problem="" if name in scores else why,
            )
        )
    return Shortcuts(
        n_test=len(labels),
        n_test_patients=len(np.unique(patients)),
        probes=tuple(probes),
        model_macro_auroc=figures["model"],
        model_per_class={one: figures[f"model/{index}"] for index, one in enumerate(classes)},
        statements=(),
    )


def _aurocs(compared: dict[str, Array], labels: Labels, weights: Array) -> dict[str, Array]:
    """Return macro AUROC (R,) of each answer by its name, and of each class by name and index."""
    found: dict[str, Array] = {}
    for name, answer in compared.items():
        each = auroc_per_class(answer, labels, weights)
        found[name] = each.mean(axis=1)
        found |= {f"{name}/{index}": each[:, index] for index in range(each.shape[1])}
    return found


def is_clear(figure: Figure) -> bool:
    """Say whether an AUROC is clearly above chance."""
    return figure.low is not None and figure.low > CLEARLY


def ask_without_lungs(
    answer: Callable[[Images], Array],
    images: Images,
    labels: Labels,
    patients: npt.NDArray,
    *,
    plain: Array,
    resamples: int,
    seed: int,
) -> Occlusion:
    """Ask the model the same images with the lungs painted over, and with all but the lungs painted over.

    Args:
        answer: The model: packed images to probabilities (N, C).
        images: (N, S, S) or (N, S, S, 3) uint8, packed as it reads them.
        labels: (N,) class indices.
        patients: (N,) keys.
        plain: (N, C) probabilities of the images as they are.
        resamples: Draws of patients.
        seed: Of the draws.
    """
    without, only = (answer(painted) for painted in paint_over(images))

    def statistic(weights: Array) -> dict[str, Array]:
        shown = {"whole": plain, "without_centre": without, "only_centre": only}
        found = {name: auroc_per_class(one, labels, weights).mean(axis=1) for name, one in shown.items()}
        return {**found, "lost_without_frame": found["whole"] - found["only_centre"]}

    values = statistic(one_weighting(len(labels)))
    drawn = resample(statistic, patients, resamples=resamples, seed=seed)
    figures = {name: percentile_interval(float(values[name][0]), drawn[name]) for name in values}
    return Occlusion(
        n_images=len(labels),
        n_patients=len(np.unique(patients)),
        still_answers=is_clear(figures["without_centre"]),
        **figures,
    )


def paint_over(images: Images) -> tuple[Images, Images]:
    """Return the images without their centre, and with nothing but it.

    What is painted over gets the mean of all the images, not each one's own: that would still tell how bright it was.
    """
    side = images.shape[1]
    edge = max(1, round(side * (1 - np.sqrt(CENTRE)) / 2))
    mean = images.mean(axis=(0, 1, 2)).round().astype(np.uint8)
    without, only = images.copy(), np.empty_like(images)
    only[:] = mean
    centre = (slice(None), slice(edge, side - edge), slice(edge, side - edge))
    without[centre] = mean
    only[centre] = images[centre]
    return without, only
