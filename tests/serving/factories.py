"""The smallest real things serving needs: images, a packaged model, TorchServe's context, a registry, a server."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from imaging.config import InputConfig
from imaging.inference import Predictor
from imaging.models import build_model
from imaging.models.directory import ModelInfo, package_digest, save_model
from serving.archive import build_archive
from tests.signing import sign

CLASSES = ("normal", "pneumonia", "covid")
SIZE = 64


def chest(seed: int = 0, side: int = 96) -> np.ndarray:
    """Grey values (side, side) uint8 with a bright middle between two dark lungs."""
    y, x = np.mgrid[0:side, 0:side] / side
    lungs = np.exp(-(((x - 0.28) / 0.13) ** 2 + ((y - 0.5) / 0.3) ** 2)) + np.exp(
        -(((x - 0.72) / 0.13) ** 2 + ((y - 0.5) / 0.3) ** 2)
    )
    noise = np.random.default_rng(seed).normal(0, 12, (side, side))
    return np.clip(200 - 150 * lungs + noise, 0, 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    return _saved(image, "PNG")


def jpeg(image: np.ndarray) -> bytes:
    return _saved(image, "JPEG")


def _saved(image: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def dicom(image: np.ndarray | None = None, **changes: object) -> bytes:
    """A DX image for presentation, PA view of a chest, with any attribute changed."""
    image = chest() if image is None else image
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    fields = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": generate_uid(),
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientName": "Doe^Jane",
        "PatientID": "SECRET-77",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": image.shape[0],
        "Columns": image.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": (image.astype(np.uint16) * 16).tobytes(),
    }
    for keyword, value in {**fields, **changes}.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def bad_bytes() -> dict[str, tuple[bytes, int, str]]:
    """Bytes that get no prediction: name -> (bytes, HTTP status, code)."""
    photo = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    sound = dicom()
    return {
        "empty": (b"", 400, "malformed_image"),
        "text": (b"hello, is this a chest?", 415, "unsupported_media_type"),
        "truncated PNG": (png(chest())[:2000], 400, "malformed_image"),
        "truncated DICOM": (sound[: len(sound) // 2], 400, "malformed_image"),
        "CT": (dicom(SOPClassUID=CTImageStorage, Modality="CT"), 422, "not_a_chest_radiograph"),
        "lateral": (dicom(ViewPosition="LL"), 422, "not_a_chest_radiograph"),
        "multi-frame": (dicom(NumberOfFrames=2), 422, "not_a_chest_radiograph"),
        "colour photo": (jpeg(photo), 422, "not_a_chest_radiograph"),
        "blank": (png(np.full((96, 96), 90, np.uint8)), 422, "image_quality"),
        "tiny": (png(chest(side=16)), 422, "image_quality"),
        "too many pixels": (png(chest(side=220)), 413, "image_too_large"),
        "GIF": (b"GIF89a" + bytes(60), 415, "unsupported_media_type"),
        "JSON": (b'{"image": "?"}', 415, "unsupported_media_type"),
    }


def model_info(seed: int) -> ModelInfo:
    return ModelInfo(
        recipe="mobilenetv2_smoke",
        architecture="mobilenet_v2",
        classes=CLASSES,
        input=InputConfig(size=SIZE),
        packed_size=SIZE,
        critical_classes=("pneumonia", "covid"),
        seed=seed,
    )


def write_package(directory: Path, *, seed: int = 0) -> str:
    """Write a packaged model with random weights and a true reference answer; return its digest."""
    torch.manual_seed(seed)
    model = build_model("mobilenet_v2", num_classes=len(CLASSES), channels=3, dropout=0.0)
    save_model(directory, model, model_info(seed))
    image = chest(seed, SIZE)
    (directory / "reference_image.png").write_bytes(png(image))
    row = Predictor.load(directory).probabilities(image[None])[0]
    answer = {"probabilities": dict(zip(CLASSES, map(float, row), strict=True))}
    (directory / "reference_answer.json").write_text(json.dumps(answer))
    sign(directory)
    return package_digest(directory)


def write_light_package(directory: Path, *, seed: int = 0) -> str:
    """Write a package that verifies but has no weights to load: all that a release looks at itself."""
    directory.mkdir()
    (directory / "model.json").write_text(model_info(seed).model_dump_json())
    (directory / "model.safetensors").write_bytes(b"no weights")
    sign(directory)
    return package_digest(directory)


class MetricsCache:
    """TorchServe's metrics of a worker, kept instead of printed."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, float, list[str]]] = []

    def get_metric(self, name: str, _kind: object) -> SimpleNamespace:
        def keep(value: float, dimensions: list[str]) -> None:
            self.kept.append((name, value, dimensions))

        return SimpleNamespace(add_or_update=keep)


class Context:
    """What TorchServe gives a handler, for one batch."""

    def __init__(self, model_dir: Path, manifest: dict) -> None:
        self.manifest = manifest
        self.system_properties = {"model_dir": str(model_dir), "gpu_id": None}
        self.metrics = MetricsCache()
        self.model_yaml_config: dict = {}
        self.headers: list[dict] = []
        self.statuses: dict[int, int] = {}
        self.response_headers: dict[int, dict[str, str]] = {}

    def get_all_request_header(self, idx: int) -> dict:
        return self.headers[idx]

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.statuses[idx] = code

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.response_headers.setdefault(idx, {})[key] = value

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)


def unpack_archive(package: Path, digest: str, folder: Path, *, version: str = "7") -> tuple[Path, dict]:
    """Build an archive and unpack it as TorchServe does; return the folder and the manifest."""
    import zipfile

    path = build_archive(package, version=version, digest=digest, store=folder / "store")
    model_dir = folder / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(model_dir)
    return model_dir, json.loads((model_dir / "MAR-INF" / "MANIFEST.json").read_text())
