"""A network as ONNX, for runtimes without torch: normalised input (N, C, size, size) to logits, float32 at both ends.

What comes before (`preprocessing`) and after (the temperature, softmax) stays in code that both runtimes share:
an antialiased resize and a histogram have no ONNX operator that gives the same bits.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from imaging.config import InputConfig
from imaging.errors import ModelPackageError
from imaging.models.preprocessing import to_input

Precision = Literal["fp32", "fp16", "int8"]
FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""The export of each precision in a model directory."""
OPSET = 20
INPUT, OUTPUT = "input", "logits"
WARNINGS_TOO, ERRORS_ONLY = 2, 3
"""ONNX Runtime's levels of its log; the first is its own choice."""
CALIBRATION_IMAGES = 32
"""From which int8 takes its ranges; each costs some 25 ms of MobileNetV2 at 224 px."""
CALIBRATION_BATCH = 16

logger = logging.getLogger(__name__)


def export_files(model: nn.Module, config: InputConfig, images: np.ndarray) -> dict[str, bytes]:
    """Return the export in every precision by its file's name; nothing where the network cannot be exported.

    Args:
        model: A network.
        config: Of its input.
        images: Packed ones that int8 takes its ranges from: a few that train and judge nothing.
    """
    inputs = to_input(torch.from_numpy(np.array(images)), config).contiguous().numpy()
    found: dict[str, bytes] = {}
    try:
        found[FILES["fp32"]] = export_fp32(model, config)
        found[FILES["fp16"]] = to_fp16(found[FILES["fp32"]])
        found[FILES["int8"]] = to_int8(found[FILES["fp32"]], inputs)
    except ModelPackageError as error:  # what is missing fails its gate
        logger.warning("exported to %s only: %s", ", ".join(found) or "nothing", error)
    return found


def export_fp32(model: nn.Module, config: InputConfig) -> bytes:
    """Return the network with a free batch size; the same network gives the same bytes.

    Raises:
        ModelPackageError: when a layer has no ONNX operator.
    """
    example = torch.zeros(2, config.channels, config.size, config.size, device=next(model.parameters()).device)
    buffer = io.BytesIO()
    try:
        with _inference(model), warnings.catch_warnings():
            # The exporter on `torch.export` takes 14 times as long (README), and this one says that it is the old one.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (example,),
                buffer,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelPackageError(f"{type(model).__name__} cannot be exported to ONNX: {type(error).__name__}") from error
    return buffer.getvalue()


def to_fp16(exported: bytes) -> bytes:
    """Return the export with weights and activations in half precision; input and logits stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each weight too small for half precision
        half = convert_float_to_float16(onnx.load_from_string(exported), keep_io_types=True)
    return half.SerializeToString(deterministic=True)


def to_int8(exported: bytes, inputs: np.ndarray) -> bytes:
    """Return the export with 8-bit weights for each channel and 8-bit activations, whose ranges `inputs` set.

    Weights use 7 of the 8 bits: on processors without VNNI, products of full ones overflow (ONNX Runtime's guide to
    quantisation), and a package must answer alike on each.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = Path(folder) / FILES["int8"]
        quantize_static(
            onnx.load_from_string(exported),
            out,
            _Batches(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantised = onnx.load(out)
    used = {name for node in quantised.graph.node for name in node.input}
    for unused in [one for one in quantised.graph.initializer if one.name not in used]:
        quantised.graph.initializer.remove(unused)
    return quantised.SerializeToString(deterministic=True)


class _Batches:
    """The calibration images as ONNX Runtime asks for them."""

    def __init__(self, inputs: np.ndarray) -> None:
        starts = range(0, len(inputs), CALIBRATION_BATCH)
        self._batches = iter([inputs[start : start + CALIBRATION_BATCH] for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


@contextlib.contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    """Answer as in serving; attention by its single steps, since its fused kernel has no ONNX operator."""
    was_training, was_fused = model.training, torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fused)
        model.train(was_training)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the quantiser's advice on how else it could be called, and the log handler that it would set up."""
    import onnxruntime

    root, silent = logging.getLogger(), logging.NullHandler()
    before = root.level
    root.addHandler(silent)
    root.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(WARNINGS_TOO)
        root.setLevel(before)
        root.removeHandler(silent)
