"""A model together with the dataset version and split it is judged on, checked to belong together."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging.data.dataset import Dataset, load_dataset
from imaging.data.splits import Split
from imaging.data.transforms import to_square_uint8
from imaging.errors import DataError
from imaging.evaluation.calibration import scaled_probabilities
from imaging.evaluation.evaluate import Answers, compare_with_champion
from imaging.evaluation.metrics import Labels
from imaging.evaluation.schema import ChampionComparison, Figure
from imaging.inference import Predictor
from imaging.models.directory import ModelInfo, load_info, package_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is measured; `labels` are of the whole dataset, in the model's order of classes."""

    directory: Path
    predictor: Predictor
    data: Dataset
    split: Split
    labels: Labels

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


def answer_test_part(subject: Subject, images: np.ndarray, *, resamples: int, seed: int) -> Answers:
    """Ask the model every image of the test part (N, S, S)."""
    logits = subject.predictor.logits(images)
    return Answers(
        before=scaled_probabilities(logits, 1.0),
        probabilities=scaled_probabilities(logits, subject.info.temperature),
        labels=subject.labels[subject.test],
        patients=subject.data.patients[subject.test],
        classes=subject.info.classes,
        operating_points=subject.info.operating_points,
        resamples=resamples,
        seed=seed,
    )


def ask_champion(answers: Answers, champion: Path, images: np.ndarray) -> ChampionComparison:
    """Ask the champion the same images; a champion that cannot be compared is a problem, not a pass."""
    predictor, digest = Predictor.load(champion), package_digest(champion)
    known = predictor.info.classes
    if set(known) != set(answers.classes):
        nothing = Figure(value=None)
        return ChampionComparison(
            champion_digest=digest,
            delta_macro_auroc=nothing,
            champion_macro_auroc=nothing,
            problem=f"the champion's classes are {', '.join(known)}: no comparison is possible",
        )
    side = predictor.info.packed_size
    if images.shape[1] != side:
        images = np.stack([to_square_uint8(image.astype(np.float32) / 255, side) for image in images])
    order = [known.index(name) for name in answers.classes]
    return compare_with_champion(answers, predictor.probabilities(images)[:, order], digest=digest)
