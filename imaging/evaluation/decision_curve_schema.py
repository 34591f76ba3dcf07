"""What is kept of a decision curve."""

from imaging.config import Frozen
from imaging.evaluation.figure import Figure


class DecisionCurve(Frozen):
    """Net benefit of calling one class by the model, against calling everybody and nobody.

    In true positives per image: 0.1 is as good as finding ten more sick in a hundred without one false alarm.
    """

    prevalence: float
    """Of the class in the test part, by images."""
    thresholds: tuple[float, ...]
    """Probability above which a reader would act: 0.1 says that one missed case weighs as much as nine false alarms."""
    net_benefit: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    treat_all: tuple[float, ...]
    useful_from: float | None
    """Thresholds between which the model is better than both, without a break; `None` where it never is."""
    useful_to: float | None
    operating_point: float
    at_operating_point: Figure
    gain: Figure
    """There, over the better of everybody and nobody, paired."""


class Benefit(Frozen):
    """One decision curve for each critical class."""

    classes: dict[str, DecisionCurve]
