"""Asks an exported network: packed images to logits, with the preprocessing that torch's network has."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imaging.config import InputConfig
from imaging.errors import ModelPackageError
from imaging.models.onnx_export import ERRORS_ONLY, INPUT, OUTPUT

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 16


def load_session(path: Path, threads: int = 1) -> "InferenceSession":
    """Load an ONNX file for this machine's processor.

    Args:
        path: Such as `model.onnx` in a model directory.
        threads: That one answer may use. They sleep between answers, and leave the processor to others.

    Raises:
        ModelPackageError: when there is no such file, or ONNX Runtime cannot run it.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    unfit = (states.InvalidProtobuf, states.InvalidGraph, states.NotImplemented, states.NoSuchFile, states.Fail)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except unfit as error:
        raise ModelPackageError(f"{path.name} cannot be run by ONNX Runtime {onnxruntime.__version__}") from error


def session_logits(session: "InferenceSession", images: np.ndarray, config: InputConfig) -> np.ndarray:
    """Return uncalibrated logits (N, classes) float32 of packed images, as `Predictor.logits` does.

    Args:
        session: Of `load_session`.
        images: (N, S, S) or (N, S, S, 3) uint8.
        config: Of the network's input.
    """
    import torch

    from imaging.models.preprocessing import to_input

    parts = []
    for start in range(0, len(images), BATCH):
        batch = to_input(torch.from_numpy(np.array(images[start : start + BATCH])), config)
        parts.append(np.asarray(session.run([OUTPUT], {INPUT: batch.contiguous().numpy()})[0]))
    return np.concatenate(parts)
