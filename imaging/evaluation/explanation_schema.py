"""What is known of a model's heat maps, as it is in `evaluation.json`."""

from typing import Literal

from imaging.config import Frozen
from imaging.evaluation.figure import MISSING, Figure


class Randomised(Frozen):
    """The maps of the same model after some of its weights were drawn anew."""

    part: Literal["head", "head and last block"]
    correlation: Figure
    """Spearman's, with the model's own map of the same image and class; 1 where nothing changes."""
    n_images: int


class Explanation(Frozen):
    """Whether the heat maps of the report follow the model, and where their heat lies. Shares are 0 to 1."""

    method: str = "grad-cam"
    cells: int = 0
    """Side of the map before it is enlarged."""
    n_images: int = 0
    """Looked at, one a patient; a map without any heat counts in no share."""
    randomised: tuple[Randomised, ...] = ()
    border_share: Figure = MISSING
    """Of the heat, in the outer eighth on each side."""
    border_area: float | None = None
    lung_share: Figure = MISSING
    """Of the heat, in the lungs' boxes."""
    lung_area: float | None = None
    n_lesions: int = 0
    """Images in which a lesion is marked and whose class has a map."""
    hit_rate: Figure = MISSING
    """Of those, how many have their hottest point in a lesion's box; the map is the true class's."""
    hits_above_chance: Figure = MISSING
    lesion_share: Figure = MISSING
    """Of the heat of those, in a lesion's box."""
    lesion_area: float | None = None
    """What the three would be by chance: the boxes' share of the image."""
    verdict: Literal["believable", "untested", "doubtful", "unknown"]
    statement: str
    """The verdict in a sentence."""
