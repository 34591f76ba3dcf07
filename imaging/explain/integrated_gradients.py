"""Integrated gradients: each pixel's share of the change from a picture of nothing to this one. For any network.

Source: Sundararajan, Taly & Yan 2017, "Axiomatic attribution for deep networks", equations 1 and 3; the path is cut
in the middle of each step.
"""

import torch
from torch import Tensor, nn

STEPS = 32
AT_ONCE = 32
"""Images in one pass."""


def integrated_gradients(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, baseline: Tensor | None = None, steps: int = STEPS
) -> Tensor:
    """Attribute the log-probability of a class to the pixels.

    The log-probability and not the logit, so that both classes of a network with a single logit have a map.

    Args:
        model: In evaluation mode, to logits.
        inputs: (N, C, S, S) float32, normalised.
        targets: (N,) int64.
        baseline: (N, C, 1, 1) or (N, C, S, S), the pictures that say nothing, normalised; zeros where absent.
        steps: Points on the path.

    Returns:
        (N, C, S, S) float32; over each image they sum to about log p(image) - log p(baseline).
    """
    starts = torch.zeros_like(inputs) if baseline is None else baseline.expand_as(inputs)
    shares = (torch.arange(steps, dtype=inputs.dtype, device=inputs.device) + 0.5) / steps
    found = []
    for image, start, target in zip(inputs, starts, targets, strict=True):
        total = torch.zeros_like(image)
        for some in shares.split(AT_ONCE):
            points = (start + some[:, None, None, None] * (image - start)).requires_grad_()
            with torch.enable_grad():
                score = model(points).log_softmax(1)[:, target].sum()
                (gradient,) = torch.autograd.grad(score, points)
            total += gradient.sum(0)
        found.append((image - start) * total / steps)
    return torch.stack(found)
