"""What the model was measured on, as its directory keeps it: the figures that are watched, and their bins.

Nothing else of the training data is needed, and nothing in it is about a patient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imaging.data.statistics import STATISTICS
from imaging.errors import ModelPackageError
from monitoring.drift.bins import Bins, CategoryBins, NumberBins

if TYPE_CHECKING:
    import pandas as pd

PROFILE = "reference_profile.parquet"
SCORE = "p_"
COORDINATE = "e_"
SIZES = ("rows", "columns")
TAGS = ("modality", "view", "manufacturer", "site")
GROUPS = ("site", "manufacturer")
"""Columns by which a window is looked at in parts too."""
FEWEST_TAGGED = 30
"""A tag that fewer images carry, on either side, is not compared."""
FAMILIES = ("scores", "statistics", "embedding", "acquisition")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The reference of one model.

    Attributes:
        frame: A row an image, a column a figure.
        bins: By figure.
        families: By figure, one of `FAMILIES`.
    """

    frame: "pd.DataFrame"
    bins: Mapping[str, Bins]
    families: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def coordinates(self) -> list[str]:
        """Return the columns of the embedding."""
        return [name for name in self.frame.columns if name.startswith(COORDINATE)]

    def codes(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return the bin of each image (M,) by figure; of `rows`, a mask, where given."""
        chosen = self.frame if rows is None else self.frame[rows]
        return {name: bins.place(chosen[name].to_numpy()) for name, bins in self.bins.items()}

    def of_group(self, column: str, value: str) -> np.ndarray:
        """Return which rows are of a site or a manufacturer (M,)."""
        if column not in self.frame:
            return np.zeros(len(self.frame), dtype=bool)
        return np.asarray(self.frame[column] == value)


def load_reference(package: Path) -> Reference:
    """Read a model directory's reference.

    Raises:
        ModelPackageError: it has none.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(package / PROFILE)
    except FileNotFoundError as error:
        raise ModelPackageError(f"the model directory {package.name} has no {PROFILE}") from error
    numbers = [name for name in frame.columns if family_of(name) != "acquisition" or name in SIZES]
    frame = frame.dropna(subset=[name for name in numbers if name.startswith(SCORE) or name in STATISTICS])
    families = {name: family_of(name) for name in frame.columns if family_of(name)}
    bins = {name: _bins(frame[name], name) for name in families} if len(frame) else {}
    told = {name: found for name, found in bins.items() if found is not None}
    return Reference(frame=frame, bins=told, families={name: families[name] for name in told})


def family_of(name: str) -> str:
    """Return the family of a figure; nothing for a column that is none."""
    if name.startswith(SCORE) or name in ("prediction", "referred", "novelty"):
        return "scores"
    if name.startswith(COORDINATE):
        return "embedding"
    if name in STATISTICS:
        return "statistics"
    return "acquisition" if name in (*TAGS, *SIZES) else ""


def _bins(column: "pd.Series[Any]", name: str) -> Bins | None:
    """Lay bins over a column; none where it says nothing: one value only, or too few rows that know it."""
    if name in TAGS or name in ("prediction", "referred"):
        known = [str(value) for value in column if value]
        return CategoryBins.of(known) if len(known) >= FEWEST_TAGGED else None
    numbers = column.to_numpy(dtype=np.float64)
    known_numbers = numbers[np.isfinite(numbers)]
    if not len(known_numbers):
        return None
    bins = NumberBins.of(known_numbers)
    return bins if bins.count > 1 else None
