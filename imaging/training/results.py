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
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_auroc: float
    lr: float
    """The head's rate at the end of the epoch."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """The epoch whose weights were kept: the lowest validation loss of all stages."""

    epoch: int
    stage: str
    val_loss: float
    val_macro_auroc: float
    val_accuracy: float


def validation_figures(logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> dict[str, float]:
    """Measure logits (N, classes) against labels (N,), by the names of `EpochResult`'s fields."""
    loss = functional.cross_entropy(logits, labels, weight=class_weights)
    correct = logits.argmax(1) == labels
    recalls = [correct[labels == label].float().mean() for label in labels.unique()]
    return {
        "val_loss": float(loss),
        "val_accuracy": float(correct.float().mean()),
        "val_balanced_accuracy": float(torch.stack(recalls).mean()),
        "val_macro_auroc": macro_auroc(torch.softmax(logits, 1).cpu().numpy(), labels.cpu().numpy()),
    }


def macro_auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Average the one-against-rest AUROC over the classes that occur; 0.5 where only one does."""
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return 0.5
    if not np.isfinite(probabilities).all():
        return float("nan")
    return float(np.mean([roc_auc_score(labels == label, probabilities[:, label]) for label in present]))
