"""What is kept of the closer look at two models on the same patients."""

from typing import Literal

from imaging.config import Frozen
from imaging.evaluation.figure import Figure


class GroupDifference(Frozen):
    """Challenger minus champion in one group of patients."""

    column: str
    value: str
    n_patients: int
    powered: bool
    note: str = ""
    delta: Figure
    """Of macro AUROC; `low` is the one-sided 95 % bound of this group alone."""
    delta_together: Figure = Figure(value=None)
    """With a 95 % interval for all powered groups, or pairs, at once."""


class PairedCalls(Frozen):
    """Where one model is right and the other wrong, patient by patient."""

    calls: str
    """A critical class, each model at its own operating point, or `most probable class`."""
    among: Literal["all", "with it", "without it"]
    n_images: int
    n_patients: int
    images_won: int
    """Only the challenger is right."""
    images_lost: int
    patients_won: int
    """The challenger is right on more of the patient's images than the champion."""
    patients_lost: int
    method: Literal["exact", "chi-squared", "no difference"]
    p: float | None
    """Two-sided, that such a difference is chance."""
