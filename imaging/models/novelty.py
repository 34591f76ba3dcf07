"""How unlike the training images an image is, by the network's own features: a score and the reference it rests on.

Mahalanobis distance to the nearest class mean (Lee et al. 2018, section 2) with one covariance for all classes. A few
hundred images cannot give a covariance of a thousand features, so it is that of probabilistic principal components
(Tipping & Bishop 1999, section 3): the leading directions with their own variance, all others with their mean one. So
a feature that no training image excites counts at once. `imaging.evaluation` fits the reference and the threshold.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from imaging.errors import ModelPackageError

NOVELTY_FILE = "out_of_distribution.safetensors"
"""In a model directory; one that is older has none."""
MOST_COMPONENTS = 64
IMAGES_PER_COMPONENT = 5
LEAST_VARIANCE = 1e-12
COORDINATES = 16
"""Of an image in the prediction log and in the drift reference."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoveltyReference:
    """What the training images' features look like.

    Attributes:
        means: (C, F) of the classes.
        components: (K, F) orthonormal leading directions of the spread within classes.
        variances: (K,) along them.
        rest: Mean variance along any other direction.
    """

    means: Array
    components: Array
    variances: Array
    rest: float

    @classmethod
    def fit(cls, features: Array, labels: npt.NDArray[np.int64]) -> Self:
        """Fit to training images' `features` (N, F) and their class indices (N,)."""
        rows = features.astype(np.float64)
        known = np.unique(labels)
        means = np.stack([rows[labels == one].mean(axis=0) for one in known])
        spread = rows - means[np.searchsorted(known, labels)]
        count, width = spread.shape
        keep = max(1, min(MOST_COMPONENTS, count // IMAGES_PER_COMPONENT, width - 1))
        _, singular, directions = np.linalg.svd(spread, full_matrices=False)
        energy = singular**2 / max(1, count - len(known))
        rest = max(float(energy[keep:].sum()) / (width - keep), LEAST_VARIANCE)
        variances = np.maximum(energy[:keep], rest)
        return cls(means=means, components=directions[:keep], variances=variances, rest=rest)

    def score(self, features: npt.NDArray[np.floating]) -> Array:
        """Return the distance of each row of `features` (N, F), about 1 for a training image; shape (N,)."""
        away = features.astype(np.float64)[:, np.newaxis] - self.means
        along = away @ self.components.T
        inside = (along**2 / self.variances).sum(axis=2)
        outside = np.maximum((away**2).sum(axis=2) - (along**2).sum(axis=2), 0) / self.rest
        return np.sqrt((inside + outside).min(axis=1) / self.means.shape[1])

    def project(self, features: npt.NDArray[np.floating]) -> Array:
        """Return where each row of `features` (N, F) lies along the leading directions, in their deviations.

        Shape (N, min(K, `COORDINATES`)), from the mean of the classes: enough to see images move, too little to see
        one.
        """
        along = (features.astype(np.float64) - self.means.mean(axis=0)) @ self.components[:COORDINATES].T
        return along / np.sqrt(self.variances[:COORDINATES])

    def to_bytes(self) -> bytes:
        """Return what `load` reads."""
        from safetensors.numpy import save

        tensors = {"means": self.means, "components": self.components, "variances": self.variances}
        small = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in tensors.items()}
        return save({**small, "rest": np.array([self.rest], dtype=np.float32)})

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read it from a model directory.

        Raises:
            ModelPackageError: when it is absent or not what `to_bytes` gives.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = {name: values.astype(np.float64) for name, values in load_file(directory / NOVELTY_FILE).items()}
            return cls(
                means=found["means"],
                components=found["components"],
                variances=found["variances"],
                rest=float(found["rest"][0]),
            )
        except (OSError, SafetensorError, KeyError, IndexError) as error:
            raise ModelPackageError(f"{directory.name} holds no readable {NOVELTY_FILE}") from error
