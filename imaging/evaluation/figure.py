"""One measured value with its interval, as it is in `evaluation.json`."""

import math

from pydantic import field_validator

from imaging.config import Frozen


class Figure(Frozen):
    """A value with its 95 % patient-level bootstrap interval."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @field_validator("value", "low", "high", mode="before")
    @classmethod
    def _nan_is_missing(cls, value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else float(value)


MISSING = Figure(value=None)
