"""The smallest real DICOM files, written by pydicom, and the picture they hold."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 80, 72


def chest(rows: int = ROWS, columns: int = COLUMNS, bits: int = 12) -> np.ndarray:
    """A bright body with two dark lungs, as unsigned stored values."""
    down, across = np.mgrid[0:rows, 0:columns] / np.array([rows, columns]).reshape(2, 1, 1)
    lungs = sum(np.exp(-(((across - x) / 0.12) ** 2) - ((down - 0.5) / 0.3) ** 2) for x in (0.28, 0.72))
    grey = 0.85 - 0.7 * lungs + 0.05 * np.sin(down * 40)
    return np.round(np.clip(grey, 0, 1) * ((1 << bits) - 1)).astype(np.uint16)


def dicom(
    stored: np.ndarray | None = None,
    *,
    bits: int = 12,
    syntax: str = ExplicitVRLittleEndian,
    change: Callable[[Dataset], None] | None = None,
    **attributes: object,
) -> bytes:
    """A DX image of the chest, PA, with a window over all its grey levels; attributes of None are left out."""
    values = chest(bits=bits) if stored is None else stored
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset = Dataset()
    dataset.file_meta = meta
    allocated = values.dtype.itemsize * 8
    fields: dict[str, object] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA",
        "PatientID": "SECRET-7", "PatientName": "Secret^Name", "PatientSex": "F", "PatientAge": "058Y",
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "Rows": values.shape[0], "Columns": values.shape[1],
        "BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits,
    }  # fmt: skip
    for keyword, value in {**fields, **attributes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    if change is not None:
        change(dataset)
    if syntax != ExplicitVRLittleEndian:
        _encode(dataset, values, syntax)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _encode(dataset: Dataset, values: np.ndarray, syntax: str) -> None:
    import imagecodecs
    from pydicom import uid
    from pydicom.encaps import encapsulate

    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    encoders = {
        uid.JPEGBaseline8Bit: lambda: imagecodecs.jpeg8_encode(values, level=95),
        uid.JPEGExtended12Bit: lambda: imagecodecs.jpeg8_encode(values, level=98, bitspersample=12),
        uid.JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(values, bitspersample=int(dataset.BitsStored)),
        uid.JPEGLSLossless: lambda: imagecodecs.jpegls_encode(values),
        uid.JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True),
        uid.RLELossless: lambda: imagecodecs.dicomrle_encode(values),
    }
    if syntax == uid.RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif syntax in encoders:
        dataset.PixelData = encapsulate([encoders[syntax]()])
        dataset["PixelData"].VR = "OB"
    elif syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def make_chest() -> Callable[..., np.ndarray]:
    return chest


@pytest.fixture(scope="session")
def make_dicom() -> Callable[..., bytes]:
    return dicom
