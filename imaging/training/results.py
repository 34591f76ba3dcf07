"""What an epoch measured, and the curves of a run."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from imaging.config import Frozen


class EpochResult(Frozen):
    """One epoch. Losses are in nats an image, everything else but `seconds` and `lr` is a share."""

    epoch: int
    """From 1, over all stages."""
    stage_index: int
    stage: str
    train_loss: float
    train_accuracy: float = 0.0
    """As the network met the images: augmented, with dropout, before each step."""
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_auroc: float
    lr: float
    """The head's rate at the end of the epoch."""
    seconds: float
    """Of training and validation."""
    images_per_s: float = 0.0
    """Training images a second, validation apart."""
    data_share: float = 0.0
    """Share of the training time in which the loop waited for images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run is within an epoch."""

    epoch: int
    """From 1, over all stages."""
    epochs: int
    """At most, over all stages; patience may end a stage before."""
    stage: str
    step: int
    steps: int
    loss: float
    """Mean of the epoch so far, nats an image."""
    images_per_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """The epoch whose weights were kept: the best of all stages by the recipe's `monitor`."""

    epoch: int
    stage: str
    val_loss: float
    val_macro_auroc: float
    val_accuracy: float


def validation_figures(logits: Tensor, labels: Tensor, loss: float) -> dict[str, float]:
    """Measure logits (N, classes) against labels (N,), by the names of `EpochResult`'s fields."""
    correct = (logits.argmax(1) == labels).double()
    counts = torch.bincount(labels, minlength=logits.shape[1])
    members = functional.one_hot(labels, logits.shape[1]).double()  # a weighted bincount has no fixed order on a GPU
    recalls = (correct @ members)[counts > 0] / counts[counts > 0]
    return {
        "val_loss": loss,
        "val_accuracy": float(correct.mean()),
        "val_balanced_accuracy": float(recalls.mean()),
        "val_macro_auroc": macro_auroc(torch.softmax(logits, 1).cpu().numpy(), labels.cpu().numpy()),
    }


def is_better(result: EpochResult, other: EpochResult | None, monitor: str) -> bool:
    """Say whether `result` beats `other` by the figure called `monitor`."""
    if other is None:
        return True
    new, old = getattr(result, monitor), getattr(other, monitor)
    return bool(new < old) if monitor == "val_loss" else bool(new > old)


def macro_auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Average the one-against-rest AUROC over the classes that occur; 0.5 where only one does."""
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return 0.5
    if not np.isfinite(probabilities).all():
        return float("nan")
    return float(np.mean([roc_auc_score(labels == label, probabilities[:, label]) for label in present]))
