"""What every server of the benchmark is given: one network, one radiograph as PNG and as DICOM."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from imaging.config import InputConfig
from imaging.models import build_model
from imaging.models.directory import ModelInfo, package_digest, save_model
from imaging.models.onnx_export import export_files
from imaging.models.signature import sign_package
from imaging.settings import Settings

CLASSES = ("normal", "pneumonia", "covid")
SIZE = 224
PNG_SIDE = 1024
DICOM_SHAPE = (3000, 2500)


def write_package(directory: Path, architecture: str, settings: Settings) -> str:
    """Write a signed package with random weights and its exports; return its digest."""
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=len(CLASSES), channels=3, dropout=0.0)
    config = InputConfig(size=SIZE)
    info = ModelInfo(
        recipe="benchmark", architecture=architecture, classes=CLASSES, input=config, packed_size=SIZE, seed=0
    )
    save_model(directory, model, info)
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)
    for name, content in export_files(model, config, images).items():
        (directory / name).write_bytes(content)
    sign_package(directory, settings)
    return package_digest(directory)


def radiograph(rows: int, columns: int) -> np.ndarray:
    """Return (rows, columns) in [0, 1]: two dark lungs in a bright chest, with the noise of a detector."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    y, x = y / rows, x / columns
    lungs = sum(np.exp(-(((x - centre) / 0.13) ** 2 + ((y - 0.5) / 0.3) ** 2)) for centre in (0.28, 0.72))
    noise = np.random.default_rng(0).normal(0, 0.01, (rows, columns)).astype(np.float32)
    return np.clip(0.8 - 0.6 * lungs + noise, 0, 1)


def as_png() -> bytes:
    """Return an 8-bit PNG of 1024 x 1024 pixels."""
    buffer = io.BytesIO()
    Image.fromarray((radiograph(PNG_SIDE, PNG_SIDE) * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def as_dicom() -> bytes:
    """Return an uncompressed DICOM of 3000 x 2500 pixels, 14 of 16 bits used, with a window."""
    pixels = (radiograph(*DICOM_SHAPE) * 16383).astype(np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    fields = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": generate_uid(),
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 14,
        "HighBit": 13,
        "PixelRepresentation": 0,
        "WindowCenter": 8191,
        "WindowWidth": 15000,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in fields.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
