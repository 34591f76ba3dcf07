"""Real radiographs as a population to draw from: what the log would hold of each, at several contrasts.

Frontal radiographs of two sources, normal or with pneumonia, each scored by a logistic regression that has not seen its
patient. Drawing with replacement from them makes a population that is known exactly, so "no drift" is true, and a shift
is exactly as large as it says.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imaging.data.dataset import load_dataset
from imaging.data.ingest import ingest
from imaging.data.statistics import STATISTICS, image_statistics
from monitoring.drift.bins import Bins, NumberBins

SITES = ("nih-chestxray8", "kermany-guangzhou")
"""How the names of the two sources begin."""
SIZE = 96
CONTRASTS = (1.0, 0.98, 0.95, 0.9)
SHARE_OF_FIRST_SITE = 0.8
PREVALENCE = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The population.

    Attributes:
        figures: By contrast, (N, F) of every image: statistics and the score of pneumonia.
        site: (N,) 0 or 1, an index into `SITES`.
        ill: (N,) whether it is a pneumonia.
    """

    figures: dict[float, np.ndarray]
    site: np.ndarray
    ill: np.ndarray

    def draw(
        self,
        count: int,
        chance: np.random.Generator,
        *,
        contrast: float = 1.0,
        first_site: float = SHARE_OF_FIRST_SITE,
        prevalence: float = PREVALENCE,
    ) -> np.ndarray:
        """Return the figures (count, F) of images drawn with replacement, at these shares of site and illness."""
        site = (chance.random(count) >= first_site).astype(int)
        ill = chance.random(count) < prevalence
        rows = np.empty(count, dtype=np.int64)
        for one in (0, 1):
            for state in (False, True):
                wanted = (site == one) & (ill == state)
                there = np.flatnonzero((self.site == one) & (self.ill == state))
                rows[wanted] = chance.choice(there, int(wanted.sum()))
        return self.figures[contrast][rows]


NAMES = (*STATISTICS, "p_pneumonia")
FAMILIES = {name: "scores" if name.startswith("p_") else "statistics" for name in NAMES}


def real_pool(source: Path) -> Pool:
    """Make the population of the images at `source` (`xray3` of the shared data)."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        made = ingest(
            str(source),
            place,
            labels=source / "manifest.csv",
            name="xray3",
            size=SIZE,
            pseudonym_key=b"benchmark",
        )
        data = load_dataset(made.path)
        source_of = data.column("source").astype(str)
        of_site = np.stack([np.char.startswith(source_of, name) for name in SITES])
        ill_of = np.array(data.classes)[data.labels]
        chosen = np.flatnonzero(of_site.any(axis=0) & np.isin(ill_of, ("normal", "pneumonia")))
        images = np.array(data.images[chosen])
        ill = ill_of[chosen] == "pneumonia"
        site = of_site[1][chosen].astype(int)
        patients = data.patients[chosen]
    figures = {contrast: _figures(images, contrast, ill, patients) for contrast in CONTRASTS}
    return Pool(figures=figures, site=site, ill=ill)


def bins_of(reference: np.ndarray) -> dict[str, Bins]:
    """Lay bins over each column of a reference (M, F)."""
    return {name: NumberBins.of(reference[:, index]) for index, name in enumerate(NAMES)}


def _figures(images: np.ndarray, contrast: float, ill: np.ndarray, patients: np.ndarray) -> np.ndarray:
    grey = images.astype(np.float32)
    middle = grey.mean(axis=(1, 2), keepdims=True)
    changed = np.clip((grey - middle) * contrast + middle, 0, 255).round().astype(np.uint8)
    described = image_statistics(changed)
    small = {one: _small(one_images) for one, one_images in ((1.0, images), (contrast, changed))}
    folds = GroupKFold(5).split(small[1.0], ill, patients)
    scores = np.empty(len(ill))
    for train, held_out in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        model.fit(small[1.0][train], ill[train])
        scores[held_out] = model.predict_proba(small[contrast][held_out])[:, 1]
    return np.stack([*(described[name] for name in STATISTICS), scores], axis=1)


def _small(images: np.ndarray) -> np.ndarray:
    """Return each image as means of squares of 6 by 6 pixels (N, 256)."""
    side = SIZE // 16
    return images.reshape(len(images), 16, side, 16, side).mean(axis=(2, 4)).reshape(len(images), -1)
