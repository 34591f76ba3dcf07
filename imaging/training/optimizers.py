"""Fused optimizers over two rates: the head's, and that of the layers below it."""

import torch
from torch import Tensor, nn

from imaging.config import Stage
from imaging.models.layers import head_module

OptimizerState = dict[int, dict[str, Tensor]]
"""The state tensors of each parameter, by its place in the optimizer."""


def build_optimizer(model: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """Build the stage's optimizer over the parameters that learn; biases and norms do not decay."""
    head = {id(parameter) for parameter in head_module(model).parameters()}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    backbone_lr = stage.lr if stage.backbone_lr is None else stage.backbone_lr
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for is_head, rate in ((True, stage.lr), (False, backbone_lr)):
        for decays in (True, False):
            decay = _decay(stage, is_head=is_head) if decays else 0.0
            alike = [p for p in learning if (id(p) in head) == is_head and (p.ndim > 1) == decays]
            members.setdefault((rate, decay), []).extend(alike)  # a step costs by the group
    groups = [
        {"params": alike, "lr": rate, "full_lr": rate, "weight_decay": decay}
        for (rate, decay), alike in members.items()
        if alike
    ]
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=stage.momentum, nesterov=stage.momentum > 0, fused=True)
    kind = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, fused=True)


def _decay(stage: Stage, *, is_head: bool) -> float:
    if is_head and stage.head_weight_decay is not None:
        return stage.head_weight_decay
    return stage.weight_decay


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` of its full rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor


def optimizer_state(optimizer: torch.optim.Optimizer) -> OptimizerState:
    """Return the optimizer's tensors; they share memory with it."""
    state = optimizer.state_dict()["state"]
    return {
        int(index): {name: value for name, value in values.items() if isinstance(value, Tensor)}
        for index, values in state.items()
    }


def restore_optimizer_state(optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Give the optimizer tensors saved by `optimizer_state`.

    A fused step walks a parameter and its state side by side in memory, so state of a parameter's shape is
    laid out as the parameter is: a file holds it in another order.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    laid_out: OptimizerState = {}
    for index, values in state.items():
        like = parameters[index]
        laid_out[index] = {
            name: torch.empty_like(like).copy_(value) if value.shape == like.shape and value.ndim else value
            for name, value in values.items()
        }
    optimizer.load_state_dict({"state": laid_out, "param_groups": optimizer.state_dict()["param_groups"]})
