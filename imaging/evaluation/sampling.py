"""A bounded number of images that stand for all: for figures whose cost is in the forward passes."""

import numpy as np
import numpy.typing as npt

SEED = 0


def sample_evenly(
    rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], most: int, *, seed: int = SEED
) -> npt.NDArray[np.int64]:
    """Return at most `most` of `rows`, in order, with every class as often as in all of them as far as that divides.

    Args:
        rows: Indices of a part.
        labels: Class index of every image of the dataset.
        most: Bound.
        seed: Of the draw.
    """
    if len(rows) <= most:
        return rows
    shuffled = rows[np.random.default_rng(seed).permutation(len(rows))]
    by_class = np.argsort(labels[shuffled], kind="stable")
    places = np.linspace(0, len(rows) - 1, most).round().astype(np.int64)
    return np.sort(shuffled[by_class[places]])
