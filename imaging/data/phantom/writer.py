"""Pictures as DICOM files: Computed Radiography and Digital X-Ray Image Storage (DICOM PS3.3 A.2 and A.26)."""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from imaging.data.phantom.acquisition import LEVELS
from imaging.data.phantom.patients import Exposure, Patient, uid
from imaging.data.phantom.styles import Style

SOP_CLASSES = {"CR": ComputedRadiographyImageStorage, "DX": DigitalXRayImageStorageForPresentation}
OFFSET, RANGE = 200, 3400
"""Where display values lie among the stored ones: the window, for files that have one."""

Pixels = NDArray[np.uint16]


def stored_values(shown: Pixels, *, monochrome1: bool) -> Pixels:
    """Return 12-bit stored values of display values 0..4095; MONOCHROME1 stores the negative."""
    stored = (shown.astype(np.uint32) * RANGE // (LEVELS - 1) + OFFSET).astype(np.uint16)
    return (LEVELS - 1 - stored).astype(np.uint16) if monochrome1 else stored


def dicom_bytes(shown: Pixels, patient: Patient, exposure: Exposure, style: Style, *, site: str, salt: str) -> bytes:
    """Return a whole DICOM file.

    Args:
        shown: Display values (S, S) in 0..4095.
        patient: Whose picture it is.
        exposure: Which of the patient's pictures.
        style: The device.
        site: The institution's name.
        salt: What else the picture depends on, so that other pixels get another UID.
    """
    ds = Dataset()
    _identify(ds, patient, exposure, style, site=site, salt=salt)
    _describe_device(ds, patient, exposure, style)
    _describe_pixels(ds, shown, style)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    buffer = DicomBytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def _identify(ds: Dataset, patient: Patient, exposure: Exposure, style: Style, *, site: str, salt: str) -> None:
    """Patient, study, series and instance."""
    day = (date(2025, 1, 1) + timedelta(days=patient.study_day)).strftime("%Y%m%d")
    ds.SOPClassUID = SOP_CLASSES[style.modality]
    ds.SOPInstanceUID = uid("instance", salt, *exposure.key)
    ds.StudyInstanceUID = uid("study", salt, *patient.key)
    ds.SeriesInstanceUID = uid("series", salt, *patient.key)
    ds.PatientName = f"Phantom^{patient.identifier}"
    ds.PatientID = patient.identifier
    ds.PatientBirthDate = ""
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age:03d}Y"
    ds.StudyID = "1"
    ds.SeriesNumber = "1"
    ds.InstanceNumber = str(exposure.number)
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = day
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = f"08{exposure.number:02d}00"
    ds.StudyDescription = "Synthetic chest radiograph"
    ds.InstitutionName = site


def _describe_device(ds: Dataset, patient: Patient, exposure: Exposure, style: Style) -> None:
    """Equipment, view, and what the modality's own modules ask for."""
    ds.Modality = style.modality
    ds.Manufacturer = style.manufacturer
    ds.ManufacturerModelName = style.model
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = exposure.view
    ds.PatientOrientation = ["L", "F"]
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    if style.modality == "CR":
        return
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageLaterality = "U"
    ds.DetectorType = "SCINTILLATOR"
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = -1 if style.monochrome1 else 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "INVERSE" if style.monochrome1 else "IDENTITY"
    ds.AcquisitionContextSequence = Sequence()
    ds.AnatomicRegionSequence = Sequence([_coded("51185008", "Chest")])
    view = ("399348003", "antero-posterior") if exposure.view == "AP" else ("399173006", "postero-anterior")
    ds.ViewCodeSequence = Sequence([_coded(*view)])


def _coded(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _describe_pixels(ds: Dataset, shown: Pixels, style: Style) -> None:
    """Grey values, and the window that shows them as meant."""
    ds.Rows, ds.Columns = shown.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if style.monochrome1 else "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    side_mm = f"{400 / shown.shape[0]:.6g}"
    ds.ImagerPixelSpacing = [side_mm, side_mm]
    if style.windowed:
        centre = OFFSET + RANGE / 2
        ds.WindowCenter = f"{LEVELS - 1 - centre if style.monochrome1 else centre:.1f}"
        ds.WindowWidth = str(RANGE)
        ds.WindowCenterWidthExplanation = "CHEST"
    pixels = stored_values(shown, monochrome1=style.monochrome1)
    ds.PixelData = pixels.astype("<u2", copy=False).tobytes()
