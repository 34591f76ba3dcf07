"""What a drift check found, as it is decided upon, written and drawn."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

State = Literal["same", "shifted", "above", "drifted"]
STATES: dict[State, str] = {
    "same": "as in the reference",
    "shifted": "beyond chance, below the bound",
    "above": "above the bound, within sampling noise",
    "drifted": "drifted",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of one part of a window.

    Attributes:
        name: As in the reference.
        family: One of `monitoring.drift.reference.FAMILIES`.
        watched: Whether the plan lets it ask for a retraining.
        psi: Population stability index against the reference.
        noise: What psi stays below by chance, with all others of the part.
        kl: Kullback-Leibler divergence from the reference, in nats.
        jensen_shannon: In nats.
        wasserstein: In reference deviations; `None` of a word.
        test: Which test gave p.
        p_value: By itself.
        p_adjusted: Holm's, over all figures of the part.
        state: The judgement.
        bins: Each bin's name.
        reference: (K,) counts.
        current: (K,) counts.
    """

    name: str
    family: str
    watched: bool
    psi: float
    noise: float
    kl: float
    jensen_shannon: float
    wasserstein: float | None
    test: Literal["KS", "chi-square"]
    p_value: float
    p_adjusted: float
    state: State
    bins: tuple[str, ...]
    reference: np.ndarray
    current: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A window, or one site's or manufacturer's part of it, beside what it is compared with.

    Attributes:
        column: `site` or `manufacturer`; empty for the whole window.
        value: Which one.
        rows: Images.
        reference_rows: Images compared with.
        against: Which they are, in words.
        figures: Each figure.
        score: The combined score, about standard normal without drift.
        score_noise: What it, and every figure brought to its scale, stays below by chance.
        p_value: Of the part as a whole.
        level: At which noise was drawn for this part.
    """

    column: str
    value: str
    rows: int
    reference_rows: int
    against: str
    figures: tuple[Figure, ...]
    score: float
    score_noise: float
    p_value: float
    level: float

    @property
    def label(self) -> str:
        """Return what a reader calls it."""
        return f"{self.column} {self.value}" if self.column else "all"

    @property
    def shifted(self) -> bool:
        """Whether anything, or all of it together, is beyond chance."""
        return self.score > self.score_noise or any(one.state in ("shifted", "drifted") for one in self.figures)

    def name_of(self, figure: Figure) -> str:
        """Return a figure's name among all parts."""
        return f"{figure.name} ({self.label})" if self.column else figure.name


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftResult:
    """The outcome of one check."""

    drifted: bool
    """A watched figure is above the plan's bound and beyond chance: what may ask for a retraining."""
    scores: dict[str, float]
    """PSI of each watched figure, and of those above the bound in a part."""
    noise: dict[str, float]
    """What PSI stays below by sampling alone, at the plan's level for all figures together."""
    above: tuple[str, ...]
    """Figures above the bound; drifted only where above the noise too."""
    rows: int
    """Different images compared."""
    reference_rows: int
    refused: int
    """Requests of the window that got a refusal, and so no score."""
    enough: bool
    html: Path
    json: Path
    shifted: tuple[str, ...] = ()
    """Whatever is beyond chance, however small: figures, parts, the combined score, the embedding."""
    parts: tuple[Part, ...] = field(default=(), repr=False)
    embedding_p_value: float | None = None
    not_known: tuple[str, ...] = ()
    """Sites and manufacturers that the reference holds no image of."""
