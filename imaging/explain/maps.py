"""Every way to show where the evidence for a class lies, by name, with maps that can be laid beside each other."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.errors import ConfigurationError
from imaging.explain.grad_cam import METHODS, grad_cam
from imaging.explain.integrated_gradients import STEPS, integrated_gradients
from imaging.explain.occlusion import WINDOWS, occlusion

MapMethod = Literal["grad-cam", "grad-cam++", "integrated-gradients", "occlusion"]
MAP_METHODS: tuple[str, ...] = get_args(MapMethod)
"""The first two need a feature map; the others work on every network."""
PEAK = 0.995
"""Share of an integrated gradient's pixels that stay below 1: single pixels are too bright to scale by."""


def explain_class(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    method: MapMethod,
    size: int | None = None,
    steps: int = STEPS,
    windows: int = WINDOWS,
) -> np.ndarray:
    """Show where the evidence for a class lies, by one of `MAP_METHODS`.

    "Nothing there", for integrated gradients and occlusion, is the image's own mean, as grey as Zeiler and Fergus's
    square: against black, what is dark can never matter (Sturmfels et al. 2020), and a lung is.

    Args:
        model: From `build_model`, in evaluation mode.
        inputs: (N, C, S, S) float32, as `to_input` gives.
        targets: (N,) int64, the class to explain for each image.
        method: One of `MAP_METHODS`.
        size: Side of the maps; S where absent.
        steps: Of integrated gradients.
        windows: Along a side, of occlusion.

    Returns:
        (N, size, size) float32 in [0, 1], each scaled by itself; all zeros where nothing speaks for the class.

    Raises:
        ConfigurationError: for an unknown method, or Grad-CAM of a network whose feature map is not known.
    """
    if method not in MAP_METHODS:
        raise ConfigurationError(f"no explanation {method!r}; there are: {', '.join(MAP_METHODS)}")
    side = size or inputs.shape[-1]
    if method in METHODS:
        return grad_cam(model, inputs, targets, method="grad-cam" if method == "grad-cam" else "grad-cam++", size=side)
    nothing = inputs.mean((2, 3), keepdim=True)
    if method == "occlusion":
        found = occlusion(model, inputs, targets, fill=nothing, windows=windows)
    else:
        found = integrated_gradients(model, inputs, targets, baseline=nothing, steps=steps).sum(1)
    maps = functional.interpolate(found.relu().unsqueeze(1), size=(side, side), mode="bilinear", align_corners=False)
    flat = maps.flatten(1)
    peak = flat.amax(1) if method == "occlusion" else flat.quantile(PEAK, dim=1)
    peak = torch.where(peak > 0, peak, flat.amax(1)).view(-1, 1, 1)
    maps = maps.squeeze(1)
    scaled = torch.where(peak > 0, maps / peak.clamp_min(torch.finfo(maps.dtype).tiny), 0.0).clamp(0, 1)
    return scaled.cpu().numpy()
