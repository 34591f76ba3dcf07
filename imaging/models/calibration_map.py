"""From a network's logits to calibrated probabilities: the one function that evaluation and serving both use.

Temperature and vector scaling: Guo et al. 2017, "On calibration of modern neural networks", section 4.2. Isotonic:
Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates": a monotone curve
for each class against the rest, then divided by their sum.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from imaging.config import Frozen

Method = Literal["none", "temperature", "vector", "isotonic"]


class Curve(Frozen):
    """A monotone curve of one class, straight between its knots and flat beyond them."""

    confidence: tuple[float, ...] = Field(min_length=1)
    """Uncalibrated probability, rising."""
    share: tuple[float, ...] = Field(min_length=1)
    """How many of the images with this probability are of the class, never falling."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.confidence) != len(self.share):
            raise ValueError(f"{len(self.confidence)} knots have {len(self.share)} values")
        if (np.diff(self.confidence) <= 0).any() or (np.diff(self.share) < 0).any():
            raise ValueError("a calibration curve has to rise")
        return self


class CalibrationRule(Frozen):
    """What replaces the temperature, class by class: `scale` and `shift` of the logits, or a curve."""

    method: Literal["vector", "isotonic"]
    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    curves: tuple[Curve, ...] = ()

    @property
    def classes(self) -> int:
        """For how many classes it is made."""
        return len(self.scale) if self.method == "vector" else len(self.curves)

    @model_validator(mode="after")
    def _holds_what_its_method_needs(self) -> Self:
        if self.method == "vector" and (len(self.shift) != len(self.scale) or self.curves):
            raise ValueError("vector scaling has a scale and a shift for each class, and nothing else")
        if self.method == "isotonic" and (self.scale or self.shift):
            raise ValueError("isotonic calibration has a curve for each class, and nothing else")
        if self.classes == 0:
            raise ValueError(f"{self.method} calibration of no class")
        return self


def calibrated(logits: np.ndarray, temperature: float = 1.0, rule: CalibrationRule | None = None) -> np.ndarray:
    """Return calibrated probabilities (N, C) float64, rows summing to 1.

    Args:
        logits: (N, C) of any float type.
        temperature: Divides the logits; not asked where there is a rule.
        rule: What is done instead.
    """
    scores = logits.astype(np.float64)
    if rule is None:
        return _softmax(scores / temperature)
    if rule.method == "vector":
        return _softmax(scores * np.array(rule.scale) + np.array(rule.shift))
    plain = _softmax(scores)
    shares = [np.interp(plain[:, place], one.confidence, one.share) for place, one in enumerate(rule.curves)]
    found = np.stack(shares, axis=1)
    total = found.sum(axis=1, keepdims=True)
    return np.divide(found, total, out=plain, where=total > 0)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class CalibrationTry(Frozen):
    """One method on the calibration part: how well it told images that it was not fitted to."""

    method: Method
    nll: float | None = None
    """Mean negative log-likelihood over patients, in nats, each by a fit to the other folds; `None` if not tried."""
    excess: float | None = None
    """Over the lowest of all methods, and its standard error over patients."""
    excess_error: float | None = None
    chosen: bool = False
    why: str = ""
