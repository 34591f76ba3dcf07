"""Parse the bytes of a DICOM file without trusting them.

pydicom inflates a deflated file whole and gives an empty data set for a truncated one; both are
answered here, before anything else looks at the file.
"""

import io
import logging
import zlib

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from imaging.dicom.image import Limits
from imaging.errors import ImageTooLargeError, MalformedImageError

# pydicom's log messages quote header values, which can be a patient's.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def read_dataset(data: bytes, limits: Limits) -> Dataset:
    """Parse a DICOM Part 10 file.

    Raises:
        MalformedImageError: an empty or cut-off data set, or one without a transfer syntax.
        ImageTooLargeError: a deflated data set that grows beyond the limits.
    """
    dataset = dcmread(io.BytesIO(_inflated(data, limits)))
    if len(dataset) == 0:
        raise MalformedImageError("the DICOM data set is empty or cut off; send the whole file")
    if not dataset.file_meta.get("TransferSyntaxUID"):
        raise MalformedImageError("the DICOM file meta information names no transfer syntax")
    return dataset


def _inflated(data: bytes, limits: Limits) -> bytes:
    """Return `data` itself, or for a deflated file the same file in Explicit VR Little Endian."""
    file = io.BytesIO(data)
    preamble = read_preamble(file, False)
    meta = _read_file_meta_info(file)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return data
    most = max(limits.max_bytes, 2 * limits.max_pixels) + 2**20
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(data[file.tell() :], most)
    if inflater.unconsumed_tail:
        raise ImageTooLargeError(f"the deflated DICOM data set is larger than {most} bytes when inflated")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = DicomBytesIO()
    whole.write((preamble or b"\0" * 128) + b"DICM")
    write_file_meta_info(whole, meta, enforce_standard=False)
    whole.write(body)
    return whole.getvalue()
