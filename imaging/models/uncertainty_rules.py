"""The numbers in `model.json` by which a model says how sure it is; `imaging.evaluation` fits them. Light to import."""

from pydantic import Field

from imaging.config import Frozen


class ConformalRule(Frozen):
    """What makes a set hold the true class of a new patient's image with probability `level` or more."""

    level: float = Field(gt=0, lt=1)
    quantile: float = Field(ge=0, le=1)
    """Largest score, 1 minus the probability, of a class in the set; 1 where patients are too few to rule any out."""
    class_quantiles: dict[str, float] = Field(default={})
    """The same fitted on one class's images alone: for sets that promise the level to each class by itself."""
    patients: int = Field(ge=1)
    """Behind `quantile`."""
    class_patients: dict[str, int] = Field(default={})


class NoveltyRule(Frozen):
    """Beyond which score an image is referred as out of distribution."""

    threshold: float = Field(ge=0)
    level: float = Field(gt=0, lt=1)
    """Share of patients like those of the held part whose images stay below."""
    patients: int = Field(ge=1)
    """Of the held part."""
