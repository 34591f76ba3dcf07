"""1,000 resamples of every metric on 10,000 patients, against a loop over scikit-learn.

Run: `.venv/bin/python benchmarks/bench_metrics.py` (under a minute); `--quick` takes a tenth of the patients, once. One
thread, interleaved, medians. Ours is `imaging.evaluation.bootstrap.intervals` over `all_metrics` of three classes with
two operating points. The loop draws the patients anew and computes the same 38 figures with scikit-learn, for a few
resamples (`LOOPS`), and is taken to cost in proportion for 1,000: each of its resamples is the same work.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from report import report
from sklearn import metrics
from threadpoolctl import threadpool_limits

from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.metrics import all_metrics

RESAMPLES = 1000
LOOPS = 5
PATIENTS = 10_000
TARGET_S = 10.0
POINTS = {0: 0.25, 2: 0.3}

Array = npt.NDArray[np.float64]


def answers(count: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return calibrated probabilities of three classes, and labels drawn from them."""
    rng = np.random.default_rng(0)
    odds = np.exp(rng.normal(size=(count, 3)) * 2)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    return probabilities, (probabilities.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)


def ours(probabilities: Array, labels: npt.NDArray[np.int64]) -> float:
    """Return the seconds of all resamples."""
    start = time.perf_counter()
    found = intervals(
        lambda weights: all_metrics(probabilities, labels, weights, thresholds=POINTS),
        np.arange(len(labels)),
        resamples=RESAMPLES,
    )
    if any(figure.low is None for figure in found.values()):
        raise RuntimeError("expected an interval for every figure")
    return time.perf_counter() - start


def loop(probabilities: Array, labels: npt.NDArray[np.int64]) -> float:
    """Return the seconds that the loop would take for all resamples."""
    rng = np.random.default_rng(1)
    start = time.perf_counter()
    for _ in range(LOOPS):
        rows = rng.integers(0, len(labels), len(labels))
        by_scikit_learn(probabilities[rows], labels[rows])
    return (time.perf_counter() - start) * RESAMPLES / LOOPS


def by_scikit_learn(probabilities: Array, labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Compute what `all_metrics` does."""
    top = probabilities.argmax(axis=1)
    found = {
        "accuracy": metrics.accuracy_score(labels, top),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, top),
        "macro_f1": metrics.f1_score(labels, top, average="macro"),
        "mcc": metrics.matthews_corrcoef(labels, top),
        "brier": float(np.square(probabilities - np.eye(3)[labels]).sum(axis=1).mean()),
        "nll": metrics.log_loss(labels, probabilities),
    }
    for index in range(probabilities.shape[1]):
        truth, scores = labels == index, probabilities[:, index]
        called = scores >= POINTS[index] if index in POINTS else top == index
        alarms, hits, _ = metrics.roc_curve(truth, scores)
        (well, false), (missed, true) = metrics.confusion_matrix(truth, called)
        found |= {
            f"auroc/{index}": metrics.roc_auc_score(truth, scores),
            f"average_precision/{index}": metrics.average_precision_score(truth, scores),
            f"sensitivity_at_95_specificity/{index}": hits[alarms <= 0.05].max(),
            f"specificity_at_95_sensitivity/{index}": 1 - alarms[hits >= 0.95].min(),
            f"sensitivity/{index}": true / (true + missed),
            f"specificity/{index}": well / (well + false),
            f"ppv/{index}": true / (true + false),
            f"npv/{index}": well / (well + missed),
            f"f1/{index}": metrics.f1_score(truth, called),
            f"mcc/{index}": metrics.matthews_corrcoef(truth, called),
        }
    found["macro_auroc"] = float(np.mean([found[f"auroc/{index}"] for index in range(3)]))
    found["macro_average_precision"] = float(np.mean([found[f"average_precision/{index}"] for index in range(3)]))
    return found


def check_same(probabilities: Array, labels: npt.NDArray[np.int64]) -> int:
    """Return how many figures both compute, or raise where they differ: a faster wrong figure is no gain."""
    mine = all_metrics(probabilities, labels, np.ones((1, len(labels))), thresholds=POINTS)
    theirs = by_scikit_learn(probabilities, labels)
    far = [name for name in mine if abs(float(mine[name][0]) - theirs[name]) > 1e-9]
    if far or set(mine) != set(theirs):
        raise RuntimeError(f"expected the figures of scikit-learn, got others for {', '.join(far)}")
    return len(mine)


def row(patients: int, runs: int) -> dict[str, Any]:
    """Measure both, interleaved."""
    parts = answers(patients)
    count = check_same(*parts)
    took = [(ours(*parts), loop(*parts)) for _ in range(runs)]
    mine, theirs = (statistics.median(column) for column in zip(*took, strict=True))
    return {
        "name": f"{RESAMPLES:,} resamples of {count} figures, {patients:,} patients",
        "ours": round(mine, 2),
        "peer": round(theirs, 1),
        "unit": f"s, lower is better; the loop from {LOOPS} resamples",
        "ratio": round(theirs / mine, 1),
        "runs": [round(one, 2) for one, _ in took],
        "target": TARGET_S,
        "holds": mine < TARGET_S,
    }


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        measured = row(PATIENTS // 10, 1) if chosen.quick else row(PATIENTS, chosen.runs)
    report("metrics", [measured])


if __name__ == "__main__":
    main()
