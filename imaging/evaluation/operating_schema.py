"""What is kept of the thresholds that other rules would have chosen."""

from imaging.config import Frozen, OperatingRule, RuleName
from imaging.evaluation.figure import Figure


class AtThreshold(Frozen):
    """One class at one rule's threshold, on the test part."""

    threshold: float
    used: bool
    """Whether this rule is the recipe's, so that the model calls the class from here."""
    sensitivity: Figure
    specificity: Figure
    ppv: Figure
    npv: Figure


class OperatingRules(Frozen):
    """Each critical class at the threshold of every rule; they were chosen on validation and calibration images."""

    rule: OperatingRule
    """The recipe's, with what the other two went by."""
    classes: dict[str, dict[RuleName, AtThreshold]]
