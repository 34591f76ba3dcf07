"""What was found when the class was sought where no lung is, as it is in `evaluation.json`."""

from typing import Literal

from pydantic import Field

from imaging.config import Frozen
from imaging.evaluation.figure import MISSING, Figure

ProbeName = Literal["border", "corners", "text", "size", "histogram"]


class Probe(Frozen):
    """A small classifier that saw one thing about each image, fitted on the training part, judged on the test part."""

    name: ProbeName
    title: str
    sees: str
    holds_lung: bool
    """Disease itself can show in what it sees, so that it proves nothing."""
    macro_auroc: Figure
    per_class: dict[str, Figure]
    tells: bool
    """The lower bound of its macro AUROC is clearly above chance."""
    problem: str = ""

    @property
    def best_class(self) -> str:
        """The class that it tells best; empty where none could be judged."""
        known = {name: one.value for name, one in self.per_class.items() if one.value is not None}
        return max(known, key=lambda name: known[name]) if known else ""


class Occlusion(Frozen):
    """Macro AUROC of the model itself on a sample of the test part, some of each image painted over."""

    n_images: int
    n_patients: int
    whole: Figure
    without_centre: Figure
    """The lungs painted over."""
    only_centre: Figure
    """The frame around the lungs painted over."""
    lost_without_frame: Figure = MISSING
    """`whole` minus `only_centre`, paired."""
    still_answers: bool
    """Without the lungs the lower bound is clearly above chance."""


class Shortcuts(Frozen):
    """Whether the class can be told without looking at the lungs, and whether the model does."""

    n_train: int = 0
    n_test: int = 0
    n_test_patients: int = 0
    probes: tuple[Probe, ...] = ()
    model_macro_auroc: Figure = MISSING
    """The model's, on the same test images."""
    model_per_class: dict[str, Figure] = Field(default_factory=dict)
    occlusion: Occlusion | None = None
    found: bool = False
    statements: tuple[str, ...]
    first_screen: tuple[str, ...] = ()
    """Those of what was found that no reader may miss, the strongest first."""
    not_asked: str = ""

    @property
    def strongest(self) -> Probe | None:
        """The telling probe that sees no lung and tells most."""
        telling = [one for one in self.probes if one.tells and not one.holds_lung]
        return max(telling, key=lambda one: one.macro_auroc.value or 0.0) if telling else None
