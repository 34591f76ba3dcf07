"""Grad-CAM and Grad-CAM++ at the last feature map, or at the patches that enter a vision transformer's last block.

Where the head is linear over averaged features, the gradient is its weights and nothing is differentiated; elsewhere
only what follows the feature map is, which makes an explanation about as cheap as a prediction.

Sources: Selvaraju et al. 2017, "Grad-CAM", section 3 (captum's `LayerGradCam`); Chattopadhay et al. 2018,
"Grad-CAM++", equations 10, 11 and 19, with the exponential of the logit as the class score.
"""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.errors import ConfigurationError
from imaging.explain.class_weights import class_weights
from imaging.models import MODELS
from imaging.models.layers import Tail, feature_depth, trunk
from imaging.models.tokens import token_map

Method = Literal["grad-cam", "grad-cam++"]
METHODS: tuple[str, ...] = get_args(Method)


def grad_cam(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, method: Method = "grad-cam", size: int | None = None
) -> np.ndarray:
    """Show where the evidence for a class lies.

    Args:
        model: From `build_model`, in evaluation mode.
        inputs: (N, C, S, S) float32, as `to_input` gives.
        targets: (N,) int64, the class to explain for each image.
        method: One of `METHODS`.
        size: Side of the heat maps; S where absent.

    Returns:
        (N, size, size) float32 in [0, 1], each divided by its own maximum; all zeros where nothing speaks
        for the class.

    Raises:
        ConfigurationError: for an unknown method, or a network whose feature map is not known.
    """
    depth = feature_depth(model)
    with torch.no_grad():
        features = trunk(model, depth)(inputs)
    return heat_maps(Tail(model, depth), features, targets, method=method, size=size or inputs.shape[-1])


def heat_maps(tail: Tail, features: Tensor, targets: Tensor, *, method: Method, size: int) -> np.ndarray:
    """Do as `grad_cam` from the features at `feature_depth` on, as a predictor already has them.

    Those are a map (N, F, h, w), or tokens (N, 1 + g*g, F).
    """
    if method not in METHODS:
        raise ConfigurationError(f"no explanation {method!r}; there are: {', '.join(METHODS)}")
    if features.ndim not in (3, 4):
        raise ConfigurationError(
            "there is no heat map for this network: where its last feature map is, is not known; "
            f"of these it is: {', '.join(MODELS)}; integrated-gradients and occlusion work on every network"
        )
    coarse = _plain(tail, features, targets) if method == "grad-cam" else _plus_plus(tail, features, targets)
    maps = functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False).squeeze(1)
    peak = maps.amax((1, 2), keepdim=True)
    return torch.where(peak > 0, maps / peak.clamp_min(torch.finfo(maps.dtype).tiny), 0.0).cpu().numpy()


def _plain(tail: Tail, features: Tensor, targets: Tensor) -> Tensor:
    """Return Grad-CAM maps (N, 1, h, w), not negative."""
    if features.ndim == 4 and (weights := class_weights(tail)) is not None:
        return torch.einsum("nf,nfhw->nhw", weights[targets], features).unsqueeze(1).relu()
    if features.ndim == 4:
        return _captum(tail, features, targets)
    maps, gradient = _with_gradient(tail, features, targets)
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()


def _captum(tail: Tail, features: Tensor, targets: Tensor) -> Tensor:
    """Do as `_plain` by a backward pass from the logits to the feature map, whatever lies between."""
    from captum.attr import LayerGradCam

    features = features.detach().clone().requires_grad_()
    explanation = LayerGradCam(tail.evidence, tail.feature_map).attribute(
        features, target=targets, relu_attributions=True
    )
    if not isinstance(explanation, Tensor):
        raise ConfigurationError("the last feature layer gives more than one tensor")
    return explanation.detach()


def _plus_plus(tail: Tail, features: Tensor, targets: Tensor) -> Tensor:
    """Return Grad-CAM++ maps (N, 1, h, w), not negative.

    With the class score exp(logit), its higher derivatives are powers of the gradient g of the logit
    (equation 19), and exp(logit) itself is one factor for each image, which the scaling by the maximum removes.
    """
    features, gradient = _with_gradient(tail, features, targets)
    squared = gradient.square()
    denominator = 2 * squared + squared * gradient * features.sum((2, 3), keepdim=True)
    alpha = torch.where(denominator.abs() > torch.finfo(features.dtype).tiny, squared / denominator, 0.0)
    weights = (alpha * gradient.relu()).sum((2, 3), keepdim=True)
    return (weights * features).sum(1, keepdim=True).relu()


def _with_gradient(tail: Tail, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features and the gradient of the targets' logits, both as maps (N, F, h, w)."""
    if features.ndim == 4 and (weights := class_weights(tail)) is not None:
        area = features.shape[2] * features.shape[3]
        return features, (weights[targets] / area)[:, :, None, None].expand_as(features)
    features = features.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = tail.evidence(features).gather(1, targets.unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(score, features)
    features = features.detach()
    return (token_map(features), token_map(gradient)) if features.ndim == 3 else (features, gradient)
