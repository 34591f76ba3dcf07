"""What drift is measured against: the figures of the prediction log, of the images that the model was judged on."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imaging.data.dataset import Dataset
from imaging.data.statistics import STATISTICS
from imaging.inference import BATCH, Prediction, Predictor

TAGS = ("modality", "view", "manufacturer", "site")
"""Coarse columns of the dataset that the log has too."""
MOST_ROWS = 20_000
"""Of a larger set, a random choice: what it leaves of sampling noise is far below what drift matters by."""
ABOUT_THE_FILE = ("image_quality", "view_unknown")
"""Reasons for a referral that the packed image does not tell."""


def observed(model: Path, data: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the prediction log will hold of images beside statistics and scores, for `rows` (M,) of a dataset.

    `referred` (yes, no) for a reason of the model's own, `novelty`, and `e_00`... where the model holds the reference
    that they take.
    """
    predictor = Predictor.load(model)
    views = [str(view) for view in data.column("view")[rows]]
    answers: list[Prediction] = []
    for start in range(0, len(rows), BATCH):
        chosen = slice(start, start + BATCH)
        answers += predictor.predict(np.asarray(data.images[rows[chosen]]), views=views[chosen])
    found = {"referred": np.array(["yes" if set(one.reasons) - set(ABOUT_THE_FILE) else "no" for one in answers])}
    if answers and answers[0].novelty is not None:
        found["novelty"] = np.array([one.novelty for one in answers]).round(4)
        coordinates = np.array([one.embedding for one in answers]).round(3)
        found |= {f"e_{index:02}": coordinates[:, index] for index in range(coordinates.shape[1])}
    return found


def reference_profile(
    data: Dataset,
    scores: Mapping[int, np.ndarray],
    classes: tuple[str, ...],
    seen: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """Return Parquet for drift: what the prediction log keeps of an image, a row an image, nothing about patients.

    Rows are sorted by their own values: their order tells nothing about which image is whose.

    Args:
        data: The dataset version.
        scores: By index, the image's calibrated probabilities (C,).
        classes: Their names.
        seen: What `observed` found of the same images, in the order of their indices.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    order = np.array(sorted(scores), dtype=np.int64)
    columns = {name: data.column(name)[order].astype(float) for name in STATISTICS}
    probabilities = np.stack([scores[index] for index in order.tolist()])
    columns |= {f"p_{name}": probabilities[:, index] for index, name in enumerate(classes)}
    rows = np.lexsort(tuple(columns.values()))
    if len(rows) > MOST_ROWS:
        rows = rows[np.sort(np.random.default_rng(0).choice(len(rows), MOST_ROWS, replace=False))]
    if seen is not None:
        columns |= {"prediction": np.array(classes)[probabilities.argmax(axis=1)], **seen}
        columns |= {name: data.column(name)[order].astype(float) for name in ("rows", "columns")}
        columns |= {name: data.column(name)[order].astype(str) for name in TAGS}
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: values[rows] for name, values in columns.items()}), buffer, compression="zstd")
    return buffer.getvalue()
