"""Exports answer like the network they were made from, whatever the batch."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from imaging.config import InputConfig
from imaging.errors import ModelPackageError
from imaging.models.architectures import build_model
from imaging.models.onnx_export import export_files, export_fp32
from imaging.models.onnx_files import FILES
from imaging.models.onnx_session import load_session, session_logits
from imaging.models.preprocessing import to_input

SIZE = 32
CONFIG = InputConfig(size=SIZE)
IMAGES = np.random.default_rng(0).integers(0, 256, size=(18, 40, 40), dtype=np.uint8)


def network(architecture: str) -> nn.Module:
    """An untrained one, with logits that differ."""
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3, size=SIZE).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)


def torch_logits(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """What the network itself answers."""
    return model(to_input(torch.from_numpy(images), CONFIG)).numpy()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return network("small_cnn")


@pytest.fixture(scope="module")
def exported(small: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    for name, content in export_files(small, CONFIG, IMAGES).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18", "small_cnn"])
def test_fp32_gives_the_networks_logits_in_any_batch(architecture: str, tmp_path: Path) -> None:
    model = network(architecture)
    (tmp_path / "model.onnx").write_bytes(export_fp32(model, CONFIG))
    session = load_session(tmp_path / "model.onnx")
    ours = torch_logits(model, IMAGES)
    for count in (1, 3, len(IMAGES)):
        theirs = session_logits(session, IMAGES[:count], CONFIG)
        assert np.abs(theirs - ours[:count]).max() <= 1e-5 * max(1.0, float(np.abs(ours).max()))


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.01), ("int8", 0.25)])
def test_rounded_exports_differ_but_little(small: nn.Module, exported: Path, precision: str, tolerance: float) -> None:
    theirs = session_logits(load_session(exported / FILES[precision]), IMAGES, CONFIG)  # type: ignore[index]
    ours = torch_logits(small, IMAGES)
    assert theirs.dtype == np.float32
    assert 0 < np.abs(theirs - ours).max() <= tolerance * float(np.abs(ours).max())


def test_fewer_bits_make_smaller_files(exported: Path) -> None:
    sizes = [(exported / FILES[name]).stat().st_size for name in ("fp32", "fp16", "int8")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.8 * sizes[1]


def test_the_same_network_gives_the_same_bytes(small: nn.Module, exported: Path) -> None:
    again = export_files(small, CONFIG, IMAGES)
    assert {name: (exported / name).read_bytes() for name in FILES.values()} == again


def test_exporting_leaves_the_process_as_it_was(small: nn.Module) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    small.train()
    export_files(small, CONFIG, IMAGES[:2])
    assert small.training
    small.eval()
    assert torch.backends.mha.get_fastpath_enabled()
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)


class Spectrum(nn.Module):
    """A layer without an ONNX operator."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return torch.special.i1e(images * self.factor).mean((1, 2, 3))


def test_a_network_that_cannot_be_exported_has_no_files_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelPackageError, match="Spectrum cannot be exported"):
        export_fp32(Spectrum(), CONFIG)
    assert export_files(Spectrum(), CONFIG, IMAGES[:2]) == {}
    assert "Spectrum cannot be exported" in caplog.text


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no network")
    for name in ("model.onnx", "absent.onnx"):
        with pytest.raises(ModelPackageError, match=name):
            load_session(tmp_path / name)
