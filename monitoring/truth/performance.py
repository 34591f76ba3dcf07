"""What the labels say of the answers: by week and by site, beside the release's figures and the estimate without.

Intervals are Wilson's for shares and DeLong's for areas, each image counted by itself: the log knows no patients.
Labels that people chose to give tell of the images that they chose; the share labelled is always told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from imaging.evaluation.delong import delong_interval
from imaging.evaluation.expected_calibration_error import chance_error, debiased_error
from imaging.evaluation.figure import MISSING, Figure
from imaging.evaluation.metrics import one_weighting, positive_calls
from monitoring.truth.answers import Answers
from monitoring.truth.estimate import Estimate, estimate
from monitoring.truth.sequential import SequentialTest, bet_against

FEWEST = 20
"""Labelled images from which a calibration is told."""
LEVEL = 0.01
"""Of a false alarm, ever, over all classes and sites together: half for the whole, half shared by the sites."""
MOST_SITES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the release says of the model: class names, operating points by index, and its test part's figures."""

    classes: tuple[str, ...]
    critical: tuple[str, ...]
    thresholds: dict[int, float]
    released: Mapping[str, Mapping[str, Figure]]
    """By class and figure (sensitivity, specificity, auroc); empty where the package does not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPerformance:
    """One class against the rest, by labels and by estimate."""

    positives: int
    negatives: int
    sensitivity: Figure
    specificity: Figure
    auroc: Figure
    estimated: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A week, a site, or all of it.

    Attributes:
        name: The first day of a week, a site, or "all".
        answers: Images answered.
        labelled: Of them with a label.
        classes: By class.
        accuracy: Share whose most probable class is the label.
        calibration_error: Debiased, of the labelled; None of too few.
        calibration_chance: What that of a perfectly calibrated model exceeds 1 time in 20 at this size.
    """

    name: str
    answers: int
    labelled: int
    classes: dict[str, ClassPerformance]
    accuracy: Figure
    calibration_error: float | None
    calibration_chance: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A rate that is higher than at the release, beyond what looking often explains."""

    label: str
    what: str
    """`missed` of the class's images, or `false alarms` among the others."""
    test: SequentialTest
    outcomes: int
    rate: float
    site: str = ""
    """Where; everywhere where empty."""

    @property
    def name(self) -> str:
        """Return what a reader calls it."""
        return f"{self.label}: {self.what}" + (f" (site {self.site})" if self.site else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """What is known of a span."""

    whole: Stretch
    weeks: tuple[Stretch, ...]
    sites: tuple[Stretch, ...]
    tests: tuple[Alarm, ...]
    answers: Answers

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Return the tests that passed their threshold."""
        return tuple(one for one in self.tests if one.test.alarm_at is not None)


def measure(answers: Answers, known: Known, *, since: datetime, until: datetime) -> Performance:
    """Measure a span: all of it, week by week from `since`, and by site."""
    weeks = []
    time = answers.time.astype("datetime64[us]")
    begin = since
    while begin < until:
        end = begin + timedelta(days=7)
        inside = (time >= _plain(begin)) & (time < _plain(end))
        weeks.append(_stretch(begin.date().isoformat(), answers.of(inside), known))
        begin = end
    sites = sorted({str(site) for site in answers.site if site})
    return Performance(
        whole=_stretch("all", answers, known),
        weeks=tuple(weeks),
        sites=tuple(_stretch(site, answers.of(answers.site == site), known) for site in sites),
        tests=(
            *_tests(answers, known, LEVEL / 2 if sites else LEVEL),
            *(
                test
                for site in sites[:MOST_SITES]
                for test in _tests(answers.of(answers.site == site), known, LEVEL / 2 / len(sites), site=site)
            ),
        ),
        answers=answers,
    )


def share(hits: int, of: int) -> Figure:
    """Return a share with Wilson's 95 % interval; no value of nothing."""
    from scipy.stats import binomtest

    if not of:
        return MISSING
    reach = binomtest(hits, of).proportion_ci(method="wilson")
    return Figure(value=hits / of, low=float(reach.low), high=float(reach.high))


def _plain(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _stretch(name: str, answers: Answers, known: Known) -> Stretch:
    labelled = answers.of(answers.labelled)
    estimates: Sequence[Estimate | None] = (
        estimate(answers.probabilities, known.thresholds) if len(answers) else [None] * len(known.classes)
    )
    calls = positive_calls(labelled.probabilities, known.thresholds)
    classes = {
        label: _class(labelled, calls[:, index], index, found) for index, (label, found) in _named(known, estimates)
    }
    right = int((labelled.probabilities.argmax(axis=1) == labelled.label).sum()) if len(labelled) else 0
    error = chance = None
    if len(labelled) >= FEWEST:
        weights = one_weighting(len(labelled))
        error = float(debiased_error(labelled.probabilities, labelled.label, weights)[0])
        chance = chance_error(labelled.probabilities, draws=200)
    return Stretch(
        name=name,
        answers=len(answers),
        labelled=len(labelled),
        classes=classes,
        accuracy=share(right, len(labelled)),
        calibration_error=error,
        calibration_chance=chance,
    )


def _named(known: Known, estimates: Sequence[Estimate | None]) -> Any:
    return enumerate(zip(known.classes, estimates, strict=True))


NOTHING = Estimate(sensitivity=None, specificity=None, auroc=None, prevalence=0.0)


def _class(labelled: Answers, called: np.ndarray, index: int, estimated: Estimate | None) -> ClassPerformance:
    positive = labelled.label == index
    hits, quiet = int((called & positive).sum()), int((~called & ~positive).sum())
    positives, negatives = int(positive.sum()), int((~positive).sum())
    each = np.arange(len(labelled))
    return ClassPerformance(
        positives=positives,
        negatives=negatives,
        sensitivity=share(hits, positives),
        specificity=share(quiet, negatives),
        auroc=delong_interval(labelled.probabilities[:, index], positive, each),
        estimated=estimated or NOTHING,
    )


def _tests(answers: Answers, known: Known, level: float, *, site: str = "") -> list[Alarm]:
    """Bet against each critical class's miss and false alarm rates at release, in the order that labels came."""
    labelled = answers.of(answers.labelled)
    labelled = labelled.of(np.lexsort((labelled.request_id.astype(str), labelled.received.astype(str))))
    calls = positive_calls(labelled.probabilities, known.thresholds)
    watched = [name for name in known.critical if name in known.released]
    found = []
    for name in watched:
        index = known.classes.index(name)
        positive = labelled.label == index
        kinds = (
            ("missed", "sensitivity", ~calls[positive, index]),
            ("false alarms", "specificity", calls[~positive, index]),
        )
        for what, figure, outcomes in kinds:
            null = _worst(known.released[name].get(figure, MISSING))
            if null is not None:
                test = bet_against(outcomes, null_rate=null, level=level / (2 * len(watched)))
                rate = float(outcomes.mean()) if len(outcomes) else 0.0
                found.append(Alarm(label=name, what=what, test=test, outcomes=len(outcomes), rate=rate, site=site))
    return found


def _worst(figure: Figure) -> float | None:
    """Return the highest error rate that the release's interval leaves open."""
    lowest = figure.low if figure.low is not None else figure.value
    return None if lowest is None else 1 - lowest
