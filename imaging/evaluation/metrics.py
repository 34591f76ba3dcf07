"""Classification metrics for many weightings of the same images at once.

`weights` is (R, N): one row per bootstrap resample, one column per image; every function answers (R,) or (R, C).
A row of ones gives the ordinary metric. What is undefined (a class without an image, no positive call) is NaN.
"""

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


def auroc(scores: Array, positive: npt.NDArray[np.bool_], weights: Array) -> Array:
    """Area under the ROC curve by weighted rank sums (Mann-Whitney; ties count one half), shape (R,).

    Args:
        scores: (N,) any monotone score.
        positive: (N,) whether each image is of the class.
        weights: (R, N).
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    ordered = weights[:, order]
    of_positive = np.add.reduceat(ordered * positive[order], starts, axis=1)
    of_negative = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
    below = np.cumsum(of_negative, axis=1) - of_negative
    wins = np.sum(of_positive * (below + 0.5 * of_negative), axis=1)
    return ratio(wins, of_positive.sum(axis=1) * of_negative.sum(axis=1))


def auroc_per_class(probabilities: Array, labels: Labels, weights: Array) -> Array:
    """One-vs-rest AUROC of each class, shape (R, C)."""
    classes = range(probabilities.shape[1])
    return np.stack([auroc(probabilities[:, c], labels == c, weights) for c in classes], axis=1)


def positive_calls(probabilities: Array, thresholds: dict[int, float]) -> npt.NDArray[np.bool_]:
    """Say for each image and class whether the class is called, shape (N, C).

    A class in `thresholds` is called at or above its operating point; any other when it is the most probable.
    """
    calls = probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])
    for index, threshold in thresholds.items():
        calls[:, index] = probabilities[:, index] >= threshold
    return calls


def call_metrics(calls: npt.NDArray[np.bool_], labels: Labels, weights: Array) -> dict[str, Array]:
    """Sensitivity, specificity, PPV, NPV and F1 of each class against the rest, each (R, C)."""
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
    }


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
    areas = auroc_per_class(probabilities, labels, weights)
    calls = call_metrics(positive_calls(probabilities, thresholds), labels, weights)
    at_argmax = call_metrics(positive_calls(probabilities, {}), labels, weights)
    found = {
        "macro_auroc": areas.mean(axis=1),
        "accuracy": accuracy(probabilities, labels, weights),
        "balanced_accuracy": at_argmax["sensitivity"].mean(axis=1),
        "macro_f1": at_argmax["f1"].mean(axis=1),
        "brier": brier(probabilities, labels, weights),
        "nll": negative_log_likelihood(probabilities, labels, weights),
    }
    for name, values in {"auroc": areas, **calls}.items():
        found |= {f"{name}/{index}": values[:, index] for index in range(values.shape[1])}
    return found
