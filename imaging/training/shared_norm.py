"""Batch norm over the images of several processes: each has only its share of a batch, or even none of it.

Torch's own `SyncBatchNorm` does this on GPUs and refuses CPUs. This one is for CPUs; on both, several processes
learn what one learns from the same batches.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Total(torch.autograd.Function):
    """The sum of all processes' values, each of which answers for the gradients of all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch norm of any number of dimensions, with the statistics of all processes' images while it trains."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalise this process's share (n, C, …) of a batch; n may be 0."""
        if not self.training:
            return super().forward(values)
        exact = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        axes = [0, *range(2, values.ndim)]
        shape = [1, -1] + [1] * (values.ndim - 2)
        here = exact.new_full((1,), values.numel() / max(1, values.shape[1]))
        *sums, count = _Total.apply(torch.cat([exact.sum(axes), here])).split([values.shape[1], 1])
        mean = sums[0] / count
        centred = exact - mean.view(shape)
        variance = _Total.apply(centred.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach(), count.detach())
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(values.dtype)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name
        """Take any number of dimensions."""

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Take a batch's statistics into those that are kept, as torch's own batch norm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        unbiased = variance * (count / (count - 1).clamp_min(1.0))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), factor)


def share_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch norm by one over all processes; parameters and statistics stay the same tensors."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
                setattr(parent, name, _shared(child))
    return model


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    """Return a norm over all processes with the tensors of `norm`."""
    shared = SharedBatchNorm(
        norm.num_features, norm.eps, norm.momentum, affine=norm.affine, track_running_stats=norm.track_running_stats
    )
    shared.weight, shared.bias = norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    return shared.train(norm.training)


@contextmanager
def norms_apart(model: nn.Module) -> Iterator[None]:
    """Let the batch norms of `model` use the statistics they keep, and wait for no other process."""
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
