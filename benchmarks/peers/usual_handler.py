"""TorchServe as it is usually set up: torch eager, one image at a time, decoded in the worker.

The square that the network sees is made as ours. With an explanation it goes the straightforward way: the window by
pydicom's functions, Grad-CAM by a backward pass through the whole network, a PNG of the library's own compression.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from torch.nn import functional

from imaging.data.transforms import to_square_uint8
from imaging.explain.overlay import COLOURS, STOPS, STRONGEST
from imaging.models.directory import load_info, load_model
from imaging.models.layers import Tail, feature_depth, trunk
from imaging.models.preprocessing import to_input


class UsualHandler:
    """Initialize once, handle one request at a time."""

    def initialize(self, context: Any) -> None:
        """Load the network."""
        package = Path(context.system_properties["model_dir"]) / "package"
        self.info = load_info(package)
        self.model = load_model(package, self.info).eval()

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer with the probabilities, and the heat map where it was asked for."""
        body = bytes(requests[0].get("body") or requests[0].get("data"))
        grey = read(body)
        inputs = to_input(torch.from_numpy(to_square_uint8(grey, self.info.packed_size)[None]), self.info.input)
        method = str(context.get_all_request_header(0).get("X-Thorax-Explain", "none"))
        if method == "none":
            with torch.no_grad():
                row = self.model(inputs).softmax(1)[0]
            return [json.dumps({"probabilities": row.tolist()})]
        row, heat = grad_cam(self.model, inputs)
        png = overlay(grey, heat, self.info.packed_size)
        return [json.dumps({"probabilities": row.tolist(), "png": png})]


def read(body: bytes) -> np.ndarray:
    """Return grey values in [0, 1]."""
    if body[128:132] != b"DICM":
        return np.asarray(Image.open(io.BytesIO(body)), dtype=np.float32) / 255
    dataset = pydicom.dcmread(io.BytesIO(body))
    values = np.asarray(apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset), dtype=np.float64)
    return (values / (2**dataset.BitsStored - 1)).astype(np.float32)


def grad_cam(model: torch.nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    """Return probabilities (classes,) and Grad-CAM (S, S) in [0, 1], by a backward pass through the whole network."""
    depth = feature_depth(model)
    features = trunk(model, depth)(inputs.clone().requires_grad_())
    features.retain_grad()
    logits = Tail(model, depth)(features)
    logits[0, logits[0].argmax()].backward()
    gradient = features.grad
    if gradient is None:
        raise RuntimeError("no gradient reached the last feature map")
    weights = gradient.mean((2, 3), keepdim=True)
    coarse = (weights * features).sum(1, keepdim=True).relu()
    whole = functional.interpolate(coarse, size=inputs.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    heat = whole / whole.max().clamp_min(1e-12)
    return logits.softmax(1)[0].detach(), heat.detach().numpy()


def overlay(grey: np.ndarray, heat: np.ndarray, size: int) -> str:
    """Return the heat map over the image as base64 of a PNG."""
    square = to_square_uint8(grey, size).astype(np.float32)
    colours = np.stack([np.interp(heat, STOPS, COLOURS[:, channel]) for channel in range(3)], axis=-1)
    share = STRONGEST * heat[..., None]
    mixed = square[..., None] * (1 - share) + colours * share
    buffer = io.BytesIO()
    Image.fromarray(mixed.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
