"""With which numbers a network computes: precision, and algorithms that repeat themselves to the bit."""

import contextlib
import os
from collections.abc import Iterator

import torch

from imaging.config import TrainConfig


def precision(device: torch.device, config: TrainConfig) -> torch.dtype:
    """Return the type of the network's arithmetic on `device`."""
    if config.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[config.precision]
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float32


def autocast(device: torch.device, config: TrainConfig) -> torch.autocast:
    """Return the context in which the network's forward pass runs."""
    kind = precision(device, config)
    return torch.autocast(device.type, kind, enabled=kind is not torch.float32)


def grad_scaler(device: torch.device, config: TrainConfig) -> torch.amp.GradScaler:
    """Return what keeps float16 gradients from vanishing; for other types it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision(device, config) is torch.float16)


@contextlib.contextmanager
def algorithms(device: torch.device, config: TrainConfig) -> Iterator[None]:
    """Choose algorithms for a run: the same bits every time, or the quickest; the process's choice comes back."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    tensor_float = torch.get_float32_matmul_precision()
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for to repeat itself
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_float32_matmul_precision(tensor_float)
