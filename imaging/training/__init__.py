"""Training: one loop over stages that yields after every epoch, and the caller that saves, resumes and stops.

`train` knows tensors only. `train_on_disk` reads a dataset and a split, keeps checkpoints and writes a
model directory. Imports torch when first used.
"""

from imaging.training.batches import PackedImages
from imaging.training.engine import TrainingData, TrainingRun, train
from imaging.training.on_disk import train_on_disk
from imaging.training.results import BestEpoch, EpochResult, Progress

__all__ = [
    "BestEpoch",
    "EpochResult",
    "PackedImages",
    "Progress",
    "TrainingData",
    "TrainingRun",
    "train",
    "train_on_disk",
]
