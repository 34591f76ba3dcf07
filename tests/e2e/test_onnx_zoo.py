"""Every family of architectures can be exported, and answers the same through ONNX Runtime.

Of families that differ in depth and width only, one stands for all: `ALIKE` names the others.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.config import InputConfig
from imaging.models.architectures import MODELS, build_model
from imaging.models.onnx_export import export_fp32
from imaging.models.onnx_session import load_session, session_logits
from imaging.models.preprocessing import to_input

pytestmark = [pytest.mark.e2e, pytest.mark.beside]

ALIKE = ("resnet34", "resnet101", "resnet56_cifar", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3")


@pytest.mark.parametrize("architecture", [name for name in MODELS if name not in ALIKE])
def test_an_export_answers_like_the_network(architecture: str, tmp_path: Path) -> None:
    row = MODELS[architecture]
    config = InputConfig(size=row.size if row.size <= 32 else max(64, row.minimum_size))
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3, size=config.size).eval().requires_grad_(False)
    (tmp_path / "model.onnx").write_bytes(export_fp32(model, config))
    images = np.random.default_rng(0).integers(0, 256, size=(5, config.size, config.size), dtype=np.uint8)
    ours = model(to_input(torch.from_numpy(images), config)).numpy()
    session = load_session(tmp_path / "model.onnx")
    for count in (1, 5):
        theirs = session_logits(session, images[:count], config)
        assert np.abs(theirs - ours[:count]).max() <= 1e-4 * max(1.0, float(np.abs(ours).max()))
