"""Whether acting on a model's probability does more good than acting on everybody or on nobody.

Vickers & Elkin 2006, "Decision curve analysis: a novel method for evaluating prediction models". Net benefit at the
threshold p is TP/n - FP/n * p/(1-p): a reader who acts from p on holds one missed case for as bad as (1-p)/p false
alarms. It holds for the test part's share of sick patients only, and asks for calibrated probabilities.
"""

import numpy as np

from imaging.evaluation.bootstrap import percentile_interval, resample
from imaging.evaluation.decision_curve_schema import Benefit, DecisionCurve
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.metrics import Array, one_weighting

THRESHOLDS = np.round(np.arange(0.01, 0.995, 0.02), 2)
DIGITS = 6


def net_benefit(scores: Array, positive: np.ndarray, thresholds: Array, weights: Array) -> Array:
    """Return the net benefit of acting at or above each threshold.

    Args:
        scores: (N,) calibrated probability of the class.
        positive: (N,) whether the image is of the class.
        thresholds: (T,) below 1.
        weights: (R, N).

    Returns:
        (R, T), in true positives per image.
    """
    worth = np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds))
    called = scores[:, None] >= thresholds
    return (weights @ (called * worth)) / weights.sum(axis=1, keepdims=True)


def measure_benefit(answers: Answers) -> Benefit | None:
    """Draw up the curve of each class that has an operating point and images; `None` where there is none."""
    curves = {}
    for name, point in answers.operating_points.items():
        sick = answers.labels == answers.classes.index(name)
        if sick.any() and not sick.all() and 0 < point < 1:
            curves[name] = _curve(answers, answers.classes.index(name), point)
    return Benefit(classes=curves) if curves else None


def _curve(answers: Answers, index: int, point: float) -> DecisionCurve:
    scores, sick = answers.probabilities[:, index], answers.labels == index
    asked = np.r_[THRESHOLDS, point]
    everybody = np.ones(len(sick))

    def statistic(weights: Array) -> dict[str, Array]:
        own = net_benefit(scores, sick, asked, weights)
        best = np.maximum(net_benefit(everybody, sick, asked[-1:], weights)[:, 0], 0)
        return {"own": own, "gain": own[:, -1] - best}

    weights = one_weighting(len(sick))
    values = statistic(weights)
    drawn = resample(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed)
    figures = [
        percentile_interval(float(one), draws) for one, draws in zip(values["own"][0], drawn["own"].T, strict=True)
    ]
    treat_all = net_benefit(everybody, sick, THRESHOLDS, weights)[0]
    useful = _longest_run(values["own"][0, :-1] > np.maximum(treat_all, 0) + 1e-12)
    return DecisionCurve(
        prevalence=float(sick.mean()),
        thresholds=tuple(THRESHOLDS.tolist()),
        net_benefit=_rounded(values["own"][0, :-1]),
        low=tuple(None if one.low is None else round(one.low, DIGITS) for one in figures[:-1]),
        high=tuple(None if one.high is None else round(one.high, DIGITS) for one in figures[:-1]),
        treat_all=_rounded(treat_all),
        useful_from=None if useful is None else float(THRESHOLDS[useful[0]]),
        useful_to=None if useful is None else float(THRESHOLDS[useful[1]]),
        operating_point=point,
        at_operating_point=figures[-1],
        gain=percentile_interval(float(values["gain"][0]), drawn["gain"]),
    )


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())


def _longest_run(holds: np.ndarray) -> tuple[int, int] | None:
    """Return first and last index of the longest run of `True`, the first of equals; `None` where there is none."""
    if not holds.any():
        return None
    edges = np.flatnonzero(np.diff(np.r_[False, holds, False]))
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best]) - 1
