"""What an evaluation says about changed images."""

from imaging.config import Frozen
from imaging.evaluation.figure import Figure


class Corrupted(Frozen):
    """The sample under one corruption of one severity."""

    corruption: str
    title: str
    severity: int
    """1 is what a working day brings, 3 what anybody would notice."""
    level: str
    """The severity in words."""
    gated: bool
    macro_auroc: Figure
    drop: Figure
    """Macro AUROC of the images as they are minus that of the changed ones, paired."""
    lowest_drop: float | None = None
    """Of a gated corruption: with 95 % confidence all gated drops together are at least so large."""
    changed: float
    """Share of the images whose most probable class is another than before."""


class Attacked(Frozen):
    """The sample after a step along the sign of the loss's gradient."""

    epsilon: int
    """The step, in grey levels of 256."""
    accuracy: Figure
    changed: float


class Robustness(Frozen):
    """How the answers hold when the images change and the patients do not."""

    n_images: int
    n_patients: int
    every_severity: bool
    """Whether all severities were measured, or the first of each corruption only."""
    macro_auroc: Figure
    """Of the sample as it is."""
    corruptions: tuple[Corrupted, ...]
    attacked_images: int
    accuracy: Figure
    """Of the attacked images before the attack."""
    attacks: tuple[Attacked, ...]

    @property
    def gated(self) -> tuple[Corrupted, ...]:
        """The rows that the gate reads."""
        return tuple(one for one in self.corruptions if one.gated)

    @property
    def worst(self) -> Corrupted:
        """The gated row with the largest drop; a missing one counts as the largest."""
        return max(self.gated, key=lambda one: float("inf") if one.drop.value is None else one.drop.value)

    def rows(self, corruption: str) -> tuple[Corrupted, ...]:
        """The severities of one corruption, mildest first."""
        return tuple(one for one in self.corruptions if one.corruption == corruption)
