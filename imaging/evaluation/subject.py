"""A model together with the dataset version and split it is judged on, checked to belong together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from imaging.data.dataset import Dataset, load_dataset
from imaging.data.splits import PARTS, Split
from imaging.errors import DataError
from imaging.evaluation.champion import compare_closely
from imaging.evaluation.evaluate import Answers, compare_with_champion
from imaging.evaluation.metrics import Labels
from imaging.evaluation.patient_groups import COLUMNS
from imaging.evaluation.repacked import repacked
from imaging.evaluation.schema import ChampionComparison, Figure
from imaging.inference import PackedImages, Predictor
from imaging.models.calibration_map import calibrated
from imaging.models.directory import ModelInfo, load_info, package_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is measured; `labels` are of the whole dataset, in the model's order of classes."""

    directory: Path
    predictor: Predictor
    data: Dataset
    split: Split
    labels: Labels
    test_part: Literal["held_out", "external"] = "held_out"
    elsewhere: Path | None = None
    """Another dataset version to measure the model on beside its own."""
    thorough: bool = False
    """Whether to measure what takes minutes."""

    @property
    def images(self) -> PackedImages:
        """The dataset's images as the model reads them, read when they are asked for."""
        return repacked(self.data.images, self.info.packed_size)

    @property
    def info(self) -> ModelInfo:
        """The model's description."""
        return self.predictor.info

    @property
    def test(self) -> np.ndarray:
        """Indices of the test part."""
        return self.split.parts["test"]


def load_subject(model: Path, dataset: Path, split: Path) -> Subject:
    """Load the three.

    Raises:
        DataError: when the split is for another dataset version, or the classes are not the model's.
    """
    info, data, parts = load_info(model), load_dataset(dataset), Split.load(split)
    if parts.dataset_digest != data.digest:
        raise DataError("the split was made for another dataset version")
    if set(data.classes) != set(info.classes):
        raise DataError(f"expected the model's classes {', '.join(info.classes)}, got {', '.join(data.classes)}")
    order = np.array([info.classes.index(name) for name in data.classes], dtype=np.int64)
    predictor = Predictor.load(model)
    return Subject(directory=model, predictor=predictor, data=data, split=parts, labels=order[data.labels])


def load_external(model: Path, dataset: Path) -> Subject:
    """Load a model and a dataset version it was not made from: the whole of it is the test part.

    Raises:
        DataError: when the model was trained on this very version, or does not know one of its classes.
    """
    info, data = load_info(model), load_dataset(dataset)
    if info.digests.get("dataset") == data.digest:
        raise DataError("the model was trained on this very dataset version; its own evaluation.json has the figures")
    unknown = sorted(set(data.classes) - set(info.classes))
    if unknown:
        raise DataError(f"expected some of the model's classes {', '.join(info.classes)}, got {', '.join(unknown)}")
    everything = {part: np.arange(len(data) if part == "test" else 0) for part in PARTS}
    order = np.array([info.classes.index(name) for name in data.classes], dtype=np.int64)
    return Subject(
        directory=model,
        predictor=Predictor.load(model),
        data=data,
        split=Split(parts=everything, dataset_digest=data.digest),
        labels=order[data.labels],
        test_part="external",
    )


def answer_test_part(subject: Subject, *, resamples: int, seed: int) -> Answers:
    """Ask the model every image of the test part, a batch at a time."""
    logits = subject.predictor.logits(subject.images, subject.test)
    return Answers(
        before=calibrated(logits),
        probabilities=subject.info.calibrated(logits),
        labels=subject.labels[subject.test],
        patients=subject.data.patients[subject.test],
        classes=subject.info.classes,
        operating_points=subject.info.operating_points,
        resamples=resamples,
        seed=seed,
    )


def ask_champion(answers: Answers, champion: Path, subject: Subject) -> ChampionComparison:
    """Ask the champion the same images; a champion that cannot be compared is a problem, not a pass."""
    predictor, digest = Predictor.load(champion), package_digest(champion)
    known = predictor.info.classes
    problem = ""
    if set(known) != set(answers.classes):
        problem = f"the champion's classes are {', '.join(known)}: no comparison is possible"
    elif predictor.info.packed_channels != subject.info.packed_channels:
        problem = f"the champion reads images of {predictor.info.packed_channels} channels: no comparison is possible"
    if problem:
        nothing = Figure(value=None)
        return ChampionComparison(
            champion_digest=digest, delta_macro_auroc=nothing, champion_macro_auroc=nothing, problem=problem
        )
    order = [known.index(name) for name in answers.classes]
    images = repacked(subject.data.images, predictor.info.packed_size)
    theirs = predictor.probabilities(images, subject.test)[:, order]
    columns = {name: subject.data.column(name)[subject.test] for name in COLUMNS}
    closer = compare_closely(answers, theirs, points=predictor.info.operating_points, columns=columns)
    return compare_with_champion(answers, theirs, digest=digest).model_copy(update=closer)
