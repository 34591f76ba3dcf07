"""A network as ONNX, for runtimes without torch: normalised input (N, C, size, size) to logits, float32 at both ends.

Beside the logits an export gives the features that explanations and the novelty score look at.

What comes before (`preprocessing`) and after (the temperature, softmax) stays in code that both runtimes share:
an antialiased resize and a histogram have no ONNX operator that gives the same bits.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.models.layers import Tail, feature_depth, trunk
from imaging.models.onnx_files import FILES
from imaging.models.preprocessing import to_input

if TYPE_CHECKING:
    from onnx import GraphProto

OPSET = 20
INPUT, OUTPUT, FEATURES = "input", "logits", "features"
WARNINGS_TOO, ERRORS_ONLY = 2, 3
"""ONNX Runtime's levels of its log; the first is its own choice."""
CALIBRATION_IMAGES = 32
"""From which int8 takes its ranges; each costs some 25 ms of MobileNetV2 at 224 px."""
CALIBRATION_BATCH = 16

logger = logging.getLogger(__name__)


class WithFeatures(nn.Module):
    """A network that gives its logits and, beside them, its features at the explanation's depth."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        depth = feature_depth(model)
        self.trunk, self.tail = trunk(model, depth), Tail(model, depth)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, classes) and features."""
        features = self.trunk(inputs)
        return self.tail(features), features


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
    whole = model
    try:
        model = WithFeatures(whole).train(whole.training)
    except ConfigurationError as error:
        raise ModelPackageError(f"{type(whole).__name__} cannot be exported to ONNX: {error}") from error
    # The first is tried only where it can, for it prints the whole network where it cannot.
    for trace in (_trace_script, _trace_program)[0 if _pools_evenly(model, example) else 1 :]:
        try:
            with tempfile.TemporaryDirectory() as folder, _inference(model), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the first, that it is the older one
                trace(model, example, Path(folder) / FILES["fp32"])
                return _without_traces(Path(folder) / FILES["fp32"])
        except (RuntimeError, TypeError, ValueError) as error:
            problem = error
    raise ModelPackageError(f"{type(whole).__name__} cannot be exported to ONNX: {type(problem).__name__}") from problem


def _pools_evenly(model: nn.Module, example: Tensor) -> bool:
    """Say whether every pooling to a given side gets a multiple of that side."""
    uneven = []

    def look(_layer: nn.Module, given: tuple[Tensor, ...], pooled: Tensor) -> None:
        uneven.append(bool(given[0].shape[-1] % pooled.shape[-1]))

    handles = [one.register_forward_hook(look) for one in model.modules() if isinstance(one, nn.AdaptiveAvgPool2d)]
    try:
        with _inference(model):
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return not any(uneven)


def _trace_script(model: nn.Module, example: Tensor, out: Path) -> None:
    """Export by TorchScript, in a fourteenth of the time; it cannot pool to a side that does not divide."""
    torch.onnx.export(
        model,
        (example,),
        out,
        dynamo=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT, FEATURES],
        dynamic_axes={name: {0: "batch"} for name in (INPUT, OUTPUT, FEATURES)},
    )


def _trace_program(model: nn.Module, example: Tensor, out: Path) -> None:
    """Export by `torch.export`."""
    torch.onnx.export(
        model,
        (example,),
        out,
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT, FEATURES],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


def _without_traces(path: Path) -> bytes:
    """Return the file without the lines of source code that its operators came from."""
    import onnx

    exported = onnx.load(path)
    for one in (*exported.graph.node, *exported.graph.value_info, *exported.graph.input, *exported.graph.output):
        one.ClearField("metadata_props")
        one.ClearField("doc_string")
    exported.ClearField("functions")
    _use_directly(exported.graph)
    exported.graph.ClearField("metadata_props")
    return exported.SerializeToString(deterministic=True)


def _use_directly(graph: "GraphProto") -> None:
    """Take out the nodes that only pass weights on: the exporter shares equal ones so, and int8 needs constants."""
    weights = {one.name for one in graph.initializer}
    passed = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity" and node.input[0] in weights
    }
    outputs = {one.name for one in graph.output}
    for node in [one for one in graph.node if one.output[0] in passed and one.output[0] not in outputs]:
        graph.node.remove(node)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = passed.get(name, name)


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
