"""Can the label be read off the picture's origin instead of the lungs? Asked of every dataset, said by every report.

DeGrave, Janizek & Lee 2021, "AI for radiographic COVID-19 detection selects shortcuts over signal": networks learnt the
hospital, not the disease. Two questions: does a class have sources of its own, and does the frame of the image alone,
which holds no lung, already give the class away?
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.metrics import Array, Labels, balanced_accuracy
from imaging.evaluation.schema import Figure, SourceConfounding, SourceOfClass

COLUMNS = ("source", "site", "manufacturer")
LEAST_PATIENTS = 5
"""Sources with fewer patients are pooled: a source of one patient holds one class by itself."""
DOMINANT = 0.75
CONFOUNDED_SHARE = 0.5
BORDER = 1 / 14
"""Width of the frame as a share of the side: 16 pixels of 224."""
SHORTCUT_MARGIN = 0.1
AT_ONCE = 256
"""Images read together."""
POOLED = "(small sources)"


def pooled(sources: npt.NDArray, patients: npt.NDArray) -> npt.NDArray:
    """Rename every source with fewer than five patients to one common name."""
    names = np.where(sources.astype(str) == "", POOLED, sources.astype(str)).astype(object)
    for name in set(names):
        if len(np.unique(patients[names == name])) < LEAST_PATIENTS:
            names[names == name] = POOLED
    return names.astype(str)


def contingency(labels: Labels, sources: npt.NDArray, count: int) -> Array:
    """Count images by class (rows) and source (columns)."""
    _, codes = np.unique(sources, return_inverse=True)
    width = int(codes.max()) + 1
    return np.bincount(labels * width + codes, minlength=count * width).reshape(count, width).astype(float)


def cramers_v(table: Array) -> float:
    """Association of rows and columns, 0 (none) to 1, bias-corrected (Bergsma 2013)."""
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    total, (rows, columns) = table.sum(), table.shape
    if total < 2 or min(rows, columns) < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    phi2 = (np.square(table - expected) / expected).sum() / total
    corrected = max(0.0, phi2 - (rows - 1) * (columns - 1) / (total - 1))
    least = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(np.sqrt(min(1.0, corrected / least))) if least > 0 else 0.0


def source_of_class(table: Array, index: int) -> SourceOfClass:
    """Describe where class `index` comes from; confounded when most of it comes from sources that are mostly it."""
    row, columns = table[index], table.sum(axis=0)
    share = np.divide(row, columns, out=np.zeros_like(row), where=columns > 0)
    prevalence = row.sum() / table.sum()
    dominated = row[(share >= DOMINANT) & (share > 1.5 * prevalence)].sum() / max(row.sum(), 1)
    exclusive = row[(share == 1) & (share > 1.5 * prevalence)].sum() / max(row.sum(), 1)
    return SourceOfClass(
        exclusive_share=float(exclusive),
        dominated_share=float(dominated),
        confounded=bool(dominated >= CONFOUNDED_SHARE),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The dataset column that tells most about the class, and its table of counts (classes, sources)."""

    column: str | None
    table: Array
    cramers_v: float | None


def most_telling_origin(
    labels: Labels, patients: npt.NDArray, columns: Mapping[str, npt.NDArray], count: int
) -> Origin:
    """Pick among the recorded origin columns the one most associated with the class."""
    best = Origin(column=None, table=np.zeros((count, 1)), cramers_v=None)
    for name, cells in columns.items():
        if not (cells.astype(str) != "").any():
            continue
        table = contingency(labels, pooled(cells, patients), count)
        strength = cramers_v(table)
        if best.cramers_v is None or strength > best.cramers_v:
            best = Origin(column=name, table=table, cramers_v=strength)
    return best


def source_confounding(
    labels: Labels,
    patients: npt.NDArray,
    columns: Mapping[str, npt.NDArray],
    *,
    classes: tuple[str, ...],
    border: Figure,
) -> SourceConfounding:
    """Judge a whole dataset: its labels (N,), patients (N,), origin columns (name to (N,)) and the border probe."""
    origin = most_telling_origin(labels, patients, columns, len(classes))
    known = origin.column is not None
    found = {name: source_of_class(origin.table, index) for index, name in enumerate(classes)} if known else {}
    per_class = origin.table / np.maximum(origin.table.sum(axis=1, keepdims=True), 1)
    chance = 1 / len(classes)
    shortcut = border.low is not None and border.low > chance + SHORTCUT_MARGIN
    source_only = float(per_class.max(axis=0).sum() / len(classes)) if known else None
    return SourceConfounding(
        column=origin.column,
        n_sources=origin.table.shape[1] if known else 0,
        cramers_v=origin.cramers_v,
        source_only_balanced_accuracy=source_only,
        classes=found,
        border_balanced_accuracy=border,
        chance=chance,
        confounded=any(one.confounded for one in found.values()),
        shortcut=shortcut,
        statements=tuple(_statements(origin.column, found, source_only, border, chance, shortcut)),
    )


def _statements(
    column: str | None,
    found: Mapping[str, SourceOfClass],
    source_only: float | None,
    border: Figure,
    chance: float,
    shortcut: bool,
) -> list[str]:
    said = []
    for name, one in found.items():
        if not one.confounded:
            continue
        if one.exclusive_share == 1:
            where = f"every {name} image comes from sources that hold no other class"
        else:
            where = (
                f"{one.exclusive_share:.0%} of its images come from sources that hold no other class, and "
                f"{one.dominated_share:.0%} from sources where at least three images in four are {name}"
            )
        said.append(f"{name} is confounded with its {column}: {where}")
    if column is None:
        said.append("the dataset does not record where its images come from, so confounding cannot be ruled out")
    elif not said:
        said.append(f"no class is confounded with its {column}")
    if source_only is not None and any(one.confounded for one in found.values()):
        said.append(
            f"knowing the {column} alone, without any image, would give {source_only:.2f} balanced accuracy "
            f"(chance {chance:.2f})"
        )
    if border.value is None:
        said.append("the border probe could not be computed")
    else:
        worth = (
            "so part of a score here can be the picture's origin and not the disease" if shortcut else "close to chance"
        )
        said.append(
            f"the image border alone, which holds no lung, gives {border.value:.2f} balanced accuracy "
            f"(chance {chance:.2f}): {worth}"
        )
    return said


def not_asked(why: str) -> SourceConfounding:
    """Return the answer for images to which the question does not apply."""
    return SourceConfounding(
        column=None,
        n_sources=0,
        cramers_v=None,
        source_only_balanced_accuracy=None,
        classes={},
        border_balanced_accuracy=Figure(value=None),
        confounded=False,
        shortcut=False,
        statements=(f"confounding with the source was not asked: {why}",),
    )


def read_border_features(images: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the frames of some of the packed images as (N, F) in [0, 1], reading a batch of them at a time."""
    parts = [border_features(images[rows[start : start + AT_ONCE]]) for start in range(0, len(rows), AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)


def border_features(images: npt.NDArray[np.uint8], *, cells: int = 56) -> npt.NDArray[np.float32]:
    """Return the frame of each image (N, S, S), averaged to a grid of at most `cells` a side, as (N, F) in [0, 1].

    Of colour images (N, S, S, 3) it is the mean of the three.
    """
    count, side = images.shape[:2]
    block = max(1, side // cells)
    kept = side // block * block
    grid = images[:, :kept, :kept].reshape(count, kept // block, block, kept // block, block, -1)
    small = grid.mean(axis=(2, 4, 5), dtype=np.float32) / 255
    width = max(1, round(small.shape[1] * BORDER))
    frame = np.ones(small.shape[1:], dtype=bool)
    frame[width:-width, width:-width] = False
    return small[:, frame]


def border_probe(
    train: tuple[npt.NDArray[np.float32], Labels],
    test: tuple[npt.NDArray[np.float32], Labels],
    patients: npt.NDArray,
    *,
    n_classes: int,
    resamples: int,
    seed: int,
) -> Figure:
    """Balanced accuracy on the test part of a logistic regression that saw only the frame of the training part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    if len(np.unique(train[1])) < n_classes:
        return Figure(value=None)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
    with threadpool_limits(1):  # a fit this small runs many times slower when threads contend for busy cores
        probe.fit(train[0], train[1])
    probabilities = np.asarray(probe.predict_proba(test[0]), dtype=np.float64)
    found = intervals(
        lambda weights: {"value": balanced_accuracy(probabilities, test[1], weights)},
        patients,
        resamples=resamples,
        seed=seed,
    )
    return found["value"]
