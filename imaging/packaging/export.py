"""Exports of a model directory: which go into the package, and one of them by itself for another runtime."""

import json
import shutil
from pathlib import Path

import numpy as np

from imaging import atomic
from imaging.data.dataset import load_dataset
from imaging.data.splits import Split
from imaging.errors import ConfigurationError, DataError
from imaging.inference import Predictor
from imaging.models.onnx_export import CALIBRATION_IMAGES, export_fp32, to_fp16, to_int8
from imaging.models.onnx_files import FILES, Precision
from imaging.models.preprocessing import to_input


def leave_out_unproven(package: Path, evaluation: Path) -> None:
    """Remove the rounded exports that were not measured to answer as well as the network."""
    measured = json.loads((evaluation / "evaluation.json").read_text()).get("export") or {"files": []}
    proven = {one["file"] for one in measured["files"] if one["kept"]}
    for file in FILES.values():
        if file not in proven and file != FILES["fp32"]:
            (package / file).unlink(missing_ok=True)


def export_on_disk(
    model: Path, out: Path, precision: Precision, *, dataset: Path | None = None, split: Path | None = None
) -> Path:
    """Write the network of a model directory as ONNX, beside the description that preprocessing and classes need.

    Args:
        model: A model directory; the export that it holds is copied, since that is the measured one.
        out: Folder for the ONNX file and `model.json`.
        precision: Of weights and activations.
        dataset: The dataset version the model was made from: int8 takes its ranges from calibration images.
        split: Its split file.

    Returns:
        The ONNX file.

    Raises:
        ConfigurationError: when int8 has to be made and there are no images.
        DataError: when dataset and split do not belong together.
        ModelPackageError: when the model cannot be read, or a layer has no ONNX operator.
    """
    target = out / FILES[precision]
    content = (
        (model / FILES[precision]).read_bytes()
        if (model / FILES[precision]).is_file()
        else _exported(model, precision, dataset, split)
    )
    atomic.write_bytes(target, content)
    shutil.copyfile(model / "model.json", out / "model.json")
    return target


def _exported(model: Path, precision: Precision, dataset: Path | None, split: Path | None) -> bytes:
    if precision == "int8" and (dataset is None or split is None):
        raise ConfigurationError(
            f"{model.name} holds no {FILES['int8']}: either its answers were worse than the network's, or it is of an "
            "earlier release; give the dataset version and the split to make one from their calibration images"
        )
    predictor = Predictor.load(model)
    exact = export_fp32(predictor.model, predictor.info.input)
    if precision == "fp32":
        return exact
    if precision == "fp16" or dataset is None or split is None:
        return to_fp16(exact)
    return to_int8(exact, _calibration_inputs(predictor, dataset, split))


def _calibration_inputs(predictor: Predictor, dataset: Path, split: Path) -> np.ndarray:
    """Return normalised images of the calibration part."""
    import torch

    data, parts = load_dataset(dataset), Split.load(split)
    if parts.dataset_digest != data.digest:
        raise DataError("the split was made for another dataset version")
    rows = parts.parts["calibration"][:CALIBRATION_IMAGES]
    images = torch.from_numpy(np.array(data.images[rows]))
    return to_input(images, predictor.info.input).contiguous().numpy()
