"""What training minimises: sums over images, with what to divide by, so that several devices can share a batch."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from imaging.config import TrainConfig


def class_weights(labels: Tensor, classes: int, config: TrainConfig) -> Tensor | None:
    """Return the weight of each class's images in the loss, or None where all weigh the same.

    Args:
        labels: (N,) int64, of the training part.
        classes: How many there are; one without an image gets weight 0.
        config: With the `binary` loss the weights are 1 and negatives / positives, which is its `pos_weight`.

    Returns:
        (classes,) float32, the inverse of each class's frequency, 1 on average.
    """
    if not config.class_weights:
        return None
    counts = torch.bincount(labels, minlength=classes).float()
    if config.loss == "binary":
        negatives, positives = counts
        return torch.stack([torch.ones_like(negatives), negatives / positives.clamp_min(1.0)])
    inverse = torch.where(counts > 0, 1.0 / counts, 0.0)
    return inverse * ((counts > 0).sum() / inverse.sum())


def summed_loss(
    outputs: Tensor | tuple[Tensor, ...], labels: Tensor, config: TrainConfig, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Add up the loss of a batch, or of a device's share of one.

    Args:
        outputs: Logits (N, classes), or those and the auxiliary heads', which count `auxiliary_weight` each.
        labels: (N,) int64.
        config: Names the loss and its smoothing.
        weights: From `class_weights`, on the same device.

    Returns:
        The sum over the images, and what it is to be divided by once both are added up over all devices: the sum
        of the images' weights, as in torch's `cross_entropy`, or the number of images with the `binary` loss.
        Float32 even where the logits are not.
    """
    logits, *auxiliary = (outputs,) if isinstance(outputs, Tensor) else outputs
    total = _summed(logits, labels, config, weights)
    for other in auxiliary:
        total = total + config.auxiliary_weight * _summed(other, labels, config, weights)
    if weights is None or config.loss == "binary":
        return total, total.new_full((), len(labels))
    return total, weights.to(total.dtype)[labels].sum()


def _summed(logits: Tensor, labels: Tensor, config: TrainConfig, weights: Tensor | None) -> Tensor:
    """Add up the loss of one head."""
    exact = logits if logits.dtype == torch.float64 else logits.float()
    weights = None if weights is None else weights.to(exact.dtype)
    if config.loss == "binary":
        return _binary(exact, labels, weights, config.label_smoothing)
    reduction: Literal["sum", "none"] = "none" if config.loss == "focal" else "sum"
    loss = functional.cross_entropy(
        exact, labels, weight=weights, label_smoothing=config.label_smoothing, reduction=reduction
    )
    return (loss * _focus(exact, labels, config.focal_gamma)).sum() if config.loss == "focal" else loss


def _focus(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Return (1 - p)^gamma of the true class (Lin et al. 2017, "Focal loss for dense object detection", section 3).

    Kept off 0, where the slope of a power below 1 has no end.
    """
    log_p = functional.log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1)
    return (-torch.expm1(log_p)).clamp_min(torch.finfo(logits.dtype).eps).pow(gamma)


def _binary(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Add up the loss of one logit: that by which the second of two classes is ahead."""
    target = labels.to(logits.dtype) * (1.0 - smoothing) + smoothing / 2.0
    return functional.binary_cross_entropy_with_logits(
        logits[:, 1] - logits[:, 0], target, pos_weight=None if weights is None else weights[1], reduction="sum"
    )
