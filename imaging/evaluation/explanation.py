"""Can the heat map be believed? Does it change with the weights, and does it lie where the disease is?

Adebayo et al. 2018, "Sanity checks for saliency maps", section 3: a map that stays when weights are drawn anew shows
the image, not the model. Zhang et al. 2018, "Top-down neural attention by excitation backprop", section 4.2: the
pointing game, here without tolerance and against the share of the image that the boxes take. A small fixed sample is
looked at.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imaging.allocation import kept_memory
from imaging.data.regions import mask_of, parse_boxes
from imaging.errors import NotFoundError
from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.explanation_schema import Explanation, Randomised
from imaging.evaluation.explanation_verdict import judge
from imaging.evaluation.figure import MISSING, Figure
from imaging.evaluation.metrics import Array
from imaging.evaluation.randomised_maps import compare_with_randomised
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.subject import Subject
from imaging.explain import heat_maps
from imaging.models.layers import Tail, feature_depth, layout_of, trunk
from imaging.models.preprocessing import to_input

MOST = 48
"""Images looked at."""
MOST_RANDOMISED = 8
"""Of them, those whose maps are made again with other weights."""
BATCH = 16
LEAST_CELLS = 3
"""A side of the map with fewer says nothing about places."""
SIDE = 64
"""Of the maps in which heat is added up."""
BORDER = 1 / 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """The sample: rows of the dataset, the classes to explain, and features at three depths of the network."""

    rows: np.ndarray
    predicted: Tensor
    true: Tensor
    below: Tensor
    """What enters the last block before the map, of the first `MOST_RANDOMISED` images."""
    features: Tensor
    """What `heat_maps` reads, of all."""


def measure_explanation(subject: Subject, answers: Answers) -> Explanation:
    """Check the heat maps that the report shows, on at most `MOST` images of the test part, one a patient."""
    model = subject.predictor.model
    if not layout_of(model).known:
        return judge(Explanation(verdict="unknown", statement="where this network's last feature map is, is not known"))
    looked = _look(subject, answers)
    cells = _cells(looked.features)
    if cells < LEAST_CELLS:
        few = f"the network's map has {cells} x {cells} cells, too few to show a place"
        return judge(Explanation(cells=cells, n_images=len(looked.rows), verdict="unknown", statement=few))
    tail = Tail(model, feature_depth(model)).eval()
    maps = [
        heat_maps(tail, looked.features, targets, method="grad-cam", size=SIDE).astype(np.float64)
        for targets in (looked.predicted, looked.true)
    ]
    patients = subject.data.patients[looked.rows]
    found = _where(subject, looked, maps, patients, answers)
    return judge(
        Explanation(
            cells=cells,
            n_images=len(looked.rows),
            randomised=_randomised(subject, looked, patients, answers),
            verdict="unknown",
            statement="",
            **found,
        ),
        is_radiograph=subject.info.subject == "radiograph",
    )


def _look(subject: Subject, answers: Answers) -> Looked:
    """Choose the images, and run the network below the map once."""
    _, first = np.unique(subject.data.patients[subject.test], return_index=True)
    rows = sample_evenly(subject.test[np.sort(first)], subject.labels, MOST, seed=answers.seed)
    # the first few are looked at most closely: every class is to be among them
    rows = np.random.default_rng(answers.seed).permutation(rows)
    place = {row: position for position, row in enumerate(subject.test.tolist())}
    predicted = answers.probabilities[[place[row] for row in rows.tolist()]].argmax(axis=1)
    model = subject.predictor.model
    depth = feature_depth(model)
    lower, block = trunk(model, depth - 1), layout_of(model).blocks[depth - 1]
    below, features = [], []
    with kept_memory(), torch.no_grad():
        for start in range(0, len(rows), BATCH):
            packed = torch.from_numpy(np.array(subject.images[rows[start : start + BATCH]]))
            entering = lower(to_input(packed, subject.info.input))
            if start < MOST_RANDOMISED:
                below.append(entering[:MOST_RANDOMISED].clone())
            features.append(block(entering))
    return Looked(
        rows=rows,
        predicted=torch.from_numpy(predicted.astype(np.int64)),
        true=torch.from_numpy(subject.labels[rows].astype(np.int64)),
        below=torch.cat(below)[:MOST_RANDOMISED],
        features=torch.cat(features),
    )


def _cells(features: Tensor) -> int:
    return features.shape[-1] if features.ndim == 4 else round((features.shape[1] - 1) ** 0.5)


def _randomised(subject: Subject, looked: Looked, patients: np.ndarray, answers: Answers) -> tuple[Randomised, ...]:
    count = len(looked.below)
    found = compare_with_randomised(
        subject.predictor.model, looked.below, looked.predicted[:count], cells=_cells(looked.features)
    )
    rows = []
    for part, correlation in found.items():
        figure = _means({"r": correlation}, patients[:count], answers)["r"]
        known = int(np.isfinite(correlation).sum())
        rows.append(Randomised(part=part, correlation=figure, n_images=known))
    return tuple(rows)


def _where(
    subject: Subject, looked: Looked, maps: list[Array], patients: np.ndarray, answers: Answers
) -> dict[str, Any]:
    """Add the heat up: at the border, and where boxes say so in lungs and lesions."""
    shown, true = maps
    frame = np.ones((SIDE, SIDE))
    edge = round(SIDE * BORDER)
    frame[edge:-edge, edge:-edge] = 0
    found: dict[str, Any] = {"border_area": float(frame.mean())}
    values = {"border_share": _share(shown, frame[None])}
    shifted = subject.info.input.fit == "pad" and subject.info.input.size != subject.info.packed_size
    lungs, lesions = (None if shifted else _masks(subject, looked.rows, name) for name in ("lungs", "lesions"))
    if lungs is not None:
        has = lungs.any(axis=(1, 2))
        values["lung_share"] = np.where(has, _share(shown, lungs), np.nan)
        found["lung_area"] = float(lungs[has].mean())
    if lesions is not None:
        ill = lesions.any(axis=(1, 2)) & (true.max(axis=(1, 2)) > 0)
        area = np.where(ill, lesions.mean(axis=(1, 2)), np.nan)
        peak = true.reshape(len(true), -1).argmax(axis=1)
        hits = lesions.reshape(len(true), -1)[np.arange(len(true)), peak] >= 0.5
        values["hit_rate"] = np.where(ill, hits, np.nan)
        values["hits_above_chance"] = values["hit_rate"] - area
        values["lesion_share"] = np.where(ill, _share(true, lesions), np.nan)
        found |= {"n_lesions": int(ill.sum()), "lesion_area": float(np.nanmean(area)) if ill.any() else None}
    return found | _means(values, patients, answers)


def _masks(subject: Subject, rows: np.ndarray, column: str) -> Array | None:
    """Return (N, SIDE, SIDE) shares of cells inside boxes, or nothing where the dataset marks none of these images."""
    try:
        cells = subject.data.column(column)[rows]
    except NotFoundError:
        return None
    masks = np.stack([mask_of(parse_boxes(str(cell)), SIDE) for cell in cells])
    return masks if masks.any() else None


def _share(maps: Array, inside: Array) -> Array:
    """Return each map's share of heat inside; no number where a map has no heat."""
    total = maps.sum(axis=(1, 2))
    return np.divide((maps * inside).sum(axis=(1, 2)), total, out=np.full(len(maps), np.nan), where=total > 0)


def _means(values: dict[str, Array], patients: np.ndarray, answers: Answers) -> dict[str, Figure]:
    """Average what is a number, with intervals over patients."""
    known = {name: np.isfinite(one) for name, one in values.items() if np.isfinite(one).any()}

    def statistic(weights: Array) -> dict[str, Array]:
        with np.errstate(invalid="ignore"):
            return {
                name: weights[:, known[name]] @ values[name][known[name]] / weights[:, known[name]].sum(axis=1)
                for name in known
            }

    found = intervals(statistic, patients, resamples=answers.resamples, seed=answers.seed) if known else {}
    return {name: found.get(name, MISSING) for name in values}
