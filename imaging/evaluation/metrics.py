"""Classification metrics for many weightings of the same images at once.

`weights` is (R, N): one row per bootstrap resample, one column per image; every function answers (R,) or (R, C).
A row of ones gives the ordinary metric. What is undefined (a class without an image, no positive call) is NaN.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def one_weighting(count: int) -> Array:
    """Return (1, count) ones: the sample as it is."""
    return np.ones((1, count))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, with NaN where the denominator is 0."""
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Where the positive images stand among the negative ones, for each distinct score that a positive image has.

    Only those scores decide the figures, so that a class of one image in ten costs a tenth. Lowest score first.

    Attributes:
        positive: (R, P) positive images of the score.
        below: (R, P) negative images of a lower score.
        tied: (R, P) negative images of the same score.
        negatives: (R, 1) all negative images.
    """

    positive: Array
    below: Array
    tied: Array
    negatives: Array

    @classmethod
    def of(cls, scores: Array, positive: npt.NDArray[np.bool_], weights: Array) -> Self:
        """Rank `scores` (N,), any monotone score of images that are `positive` (N,) or not, under `weights` (R, N)."""
        order = np.argsort(scores, kind="stable")
        ranked, is_positive = scores[order], positive[order]
        score_of_positive = ranked[is_positive]
        first = np.flatnonzero(np.diff(score_of_positive, prepend=np.nan) != 0)
        distinct = score_of_positive[first]
        ordered = weights[:, order]
        upto = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(ordered, axis=1)], axis=1)
        before = upto[:, np.searchsorted(ranked, distinct, side="left")]
        within = upto[:, np.searchsorted(ranked, distinct, side="right")] - before
        hits = ordered[:, is_positive]
        if len(first) < hits.shape[1]:
            hits = np.add.reduceat(hits, first, axis=1)
        earlier = np.cumsum(hits, axis=1) - hits
        negatives = upto[:, -1:] - hits.sum(axis=1, keepdims=True)
        return cls(positive=hits, below=before - earlier, tied=within - hits, negatives=negatives)

    def auroc(self) -> Array:
        """Area under the ROC curve by weighted rank sums (Mann-Whitney; ties count one half), shape (R,)."""
        wins = (self.positive * (self.below + 0.5 * self.tied)).sum(axis=1)
        return ratio(wins, self.positive.sum(axis=1) * self.negatives[:, 0])

    def average_precision(self) -> Array:
        """Area under the precision-recall curve as the mean precision at each positive image, shape (R,).

        A step function without interpolation: Davis & Goadrich 2006, section 4; scikit-learn's definition.
        """
        hits = np.cumsum(self.positive[:, ::-1], axis=1)[:, ::-1]
        called = hits + self.negatives - self.below
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        return ratio((self.positive * precision).sum(axis=1), self.positive.sum(axis=1))

    def sensitivity_at(self, specificity: float) -> Array:
        """Return the sensitivity of the lowest threshold that is at least so specific, shape (R,)."""
        allowed = self.negatives - self.below <= (1 - specificity) * self.negatives + 1e-9
        found = (self.positive * allowed).sum(axis=1)
        return np.where(self.negatives[:, 0] > 0, ratio(found, self.positive.sum(axis=1)), np.nan)

    def specificity_at(self, sensitivity: float) -> Array:
        """Return the specificity of the highest threshold that is at least so sensitive, shape (R,)."""
        hits = np.cumsum(self.positive[:, ::-1], axis=1)[:, ::-1]
        positives = self.positive.sum(axis=1)
        allowed = hits >= sensitivity * positives[:, None] - 1e-9
        best = np.max(self.below * allowed, axis=1, initial=0.0)
        return np.where(positives > 0, ratio(best, self.negatives[:, 0]), np.nan)


def auroc(scores: Array, positive: npt.NDArray[np.bool_], weights: Array) -> Array:
    """Area under the ROC curve of `scores` (N,) for images that are `positive` (N,) or not, shape (R,)."""
    return Ranking.of(scores, positive, weights).auroc()


def auroc_per_class(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """One-vs-rest AUROC of each class, shape (R, C)."""
    classes = range(probabilities.shape[1])
    return np.stack([auroc(probabilities[:, c], labels == c, weights) for c in classes], axis=1)


def ranking_metrics(probabilities: Array, labels: Labels, weights: Array) -> dict[str, Array]:
    """Figures of each class against the rest that need no threshold of their own, each (R, C)."""
    found: list[dict[str, Array]] = []
    for index in range(probabilities.shape[1]):
        ranking = Ranking.of(probabilities[:, index], labels == index, weights)
        found.append(
            {
                "auroc": ranking.auroc(),
                "average_precision": ranking.average_precision(),
                "sensitivity_at_95_specificity": ranking.sensitivity_at(0.95),
                "specificity_at_95_sensitivity": ranking.specificity_at(0.95),
            }
        )
    return {name: np.stack([one[name] for one in found], axis=1) for name in found[0]}


def positive_calls(probabilities: Array, thresholds: dict[int, float]) -> npt.NDArray[np.bool_]:
    """Say for each image and class whether the class is called, shape (N, C).

    A class in `thresholds` is called at or above its operating point; any other when it is the most probable.
    """
    calls = probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])
    for index, threshold in thresholds.items():
        calls[:, index] = probabilities[:, index] >= threshold
    return calls


def call_metrics(calls: npt.NDArray[np.bool_], labels: Labels, weights: Array) -> dict[str, Array]:
    """Sensitivity, specificity, PPV, NPV, F1 and MCC of each class against the rest, each (R, C)."""
    truth = labels[:, None] == np.arange(calls.shape[1])
    true_positive = weights @ (calls & truth).astype(float)
    false_positive = weights @ (calls & ~truth).astype(float)
    false_negative = weights @ (~calls & truth).astype(float)
    true_negative = weights @ (~calls & ~truth).astype(float)
    return {
        "sensitivity": ratio(true_positive, true_positive + false_negative),
        "specificity": ratio(true_negative, true_negative + false_positive),
        "ppv": ratio(true_positive, true_positive + false_positive),
        "npv": ratio(true_negative, true_negative + false_negative),
        "f1": ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        "mcc": _correlation(true_positive, false_positive, false_negative, true_negative),
    }


def _correlation(true_positive: Array, false_positive: Array, false_negative: Array, true_negative: Array) -> Array:
    """Return Matthews' correlation (Matthews 1975); NaN where all images, or all calls, are on one side."""
    sides = (true_positive + false_positive) * (true_positive + false_negative)
    other_sides = (true_negative + false_positive) * (true_negative + false_negative)
    return ratio(true_positive * true_negative - false_positive * false_negative, np.sqrt(sides * other_sides))


def confusion_matrix(probabilities: Array, labels: Labels) -> npt.NDArray[np.int64]:
    """Count images by true class (rows) and most probable class (columns), shape (C, C)."""
    classes = probabilities.shape[1]
    cells = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """Share of images whose most probable class is the true one, shape (R,)."""
    return ratio(weights @ (probabilities.argmax(axis=1) == labels).astype(float), weights.sum(axis=1))


def balanced_accuracy(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """Mean over the classes of the share recognised, shape (R,); NaN where a class has no image."""
    recall = call_metrics(positive_calls(probabilities, {}), labels, weights)["sensitivity"]
    return recall.mean(axis=1)


def matthews_correlation(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """Correlation between true and most probable class (Gorodkin 2004, R_K), shape (R,); NaN where one is constant."""
    count = np.arange(probabilities.shape[1])
    truth = (labels[:, None] == count).astype(float)
    called = (probabilities.argmax(axis=1)[:, None] == count).astype(float)
    total, right = weights.sum(axis=1), weights @ (truth * called).sum(axis=1)
    of_truth, of_calls = weights @ truth, weights @ called
    spread = (total**2 - np.square(of_truth).sum(axis=1)) * (total**2 - np.square(of_calls).sum(axis=1))
    return ratio(right * total - (of_truth * of_calls).sum(axis=1), np.sqrt(np.maximum(spread, 0)))


def brier(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """Mean squared error summed over the classes (0 to 2; Brier 1950), shape (R,)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return ratio(weights @ np.square(probabilities - truth).sum(axis=1), weights.sum(axis=1))


def negative_log_likelihood(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """Mean of -log p(true class) in nats, shape (R,); probabilities are floored at 1e-15."""
    of_truth = probabilities[np.arange(len(labels)), labels]
    return ratio(weights @ -np.log(np.clip(of_truth, 1e-15, None)), weights.sum(axis=1))


def all_metrics(
    probabilities: Array, labels: Labels, weights: Array, *, thresholds: dict[int, float]
) -> dict[str, Array]:
    """Every metric of the report, each (R,); names are `metric` for all classes and `metric/index` for one.

    Args:
        probabilities: (N, C), rows sum to 1.
        labels: (N,) class indices.
        weights: (R, N).
        thresholds: Operating point of each class that has one.
    """
    ranked = ranking_metrics(probabilities, labels, weights)
    calls = call_metrics(positive_calls(probabilities, thresholds), labels, weights)
    at_argmax = call_metrics(positive_calls(probabilities, {}), labels, weights)
    found = {
        "macro_auroc": ranked["auroc"].mean(axis=1),
        "macro_average_precision": ranked["average_precision"].mean(axis=1),
        "accuracy": accuracy(probabilities, labels, weights),
        "balanced_accuracy": at_argmax["sensitivity"].mean(axis=1),
        "macro_f1": at_argmax["f1"].mean(axis=1),
        "mcc": matthews_correlation(probabilities, labels, weights),
        "brier": brier(probabilities, labels, weights),
        "nll": negative_log_likelihood(probabilities, labels, weights),
    }
    for name, values in {**ranked, **calls}.items():
        found |= {f"{name}/{index}": values[:, index] for index in range(values.shape[1])}
    return found
