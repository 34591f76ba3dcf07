"""Synthetic chest radiographs: schematic anatomy, graded disease and device styles, as real DICOM files."""

from imaging.data.phantom.folder import write_phantom
from imaging.data.phantom.patients import CLASSES
from imaging.data.phantom.picture import reference_images

__all__ = ["CLASSES", "reference_images", "write_phantom"]
