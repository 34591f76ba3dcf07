"""Every bad input gets a code, every good one an image, and nothing else ever comes out of `decode`."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate

from imaging.dicom.codecs import stored_values
from imaging.dicom.pixels import DecodedImage, Limits, decode
from imaging.errors import (
    ImageQualityError,
    ImageTooLargeError,
    InvalidImageError,
    MalformedImageError,
    NotAChestRadiographError,
    UnsupportedMediaTypeError,
)

LOSSLESS = [
    uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian, uid.RLELossless,
    uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless,
]  # fmt: skip


def picture(values: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: uid.UID(syntax).keyword)
def test_every_lossless_syntax_gives_the_same_pixels(make_dicom, syntax):
    assert np.array_equal(decode(make_dicom(syntax=syntax)).pixels, decode(make_dicom()).pixels)


def test_lossy_jpeg_gives_nearly_the_same_pixels(make_dicom, make_chest):
    eight = make_chest(bits=8).astype(np.uint8)
    exact = decode(make_dicom(eight, bits=8)).pixels
    lossy = decode(make_dicom(eight, bits=8, syntax=uid.JPEGBaseline8Bit)).pixels
    assert np.abs(exact - lossy).max() < 0.03
    twelve = decode(make_dicom(syntax=uid.JPEGExtended12Bit)).pixels
    assert np.abs(decode(make_dicom()).pixels - twelve).max() < 0.03


def test_rle_agrees_with_pydicoms_own_decoder(make_dicom):
    from pydicom import dcmread

    from imaging.dicom.codecs import stored_values

    dataset = dcmread(io.BytesIO(make_dicom(syntax=uid.RLELossless)))
    assert np.array_equal(stored_values(dataset), dataset.pixel_array)


def test_pictures_of_eight_and_sixteen_bits_agree_with_the_dicom(make_dicom, make_chest):
    eight = make_chest(bits=8).astype(np.uint8)
    expected = decode(make_dicom(eight, bits=8, WindowCenter=None, WindowWidth=None)).pixels
    assert np.allclose(decode(picture(eight)).pixels, expected, atol=1e-6)
    assert np.allclose(decode(picture(eight.astype(np.uint16) * 257)).pixels, expected, atol=1e-6)
    assert np.allclose(decode(picture(np.stack([eight] * 3, axis=2))).pixels, expected, atol=1e-3)
    assert np.abs(decode(picture(eight, "JPEG")).pixels - expected).max() < 0.15
    assert "window_missing" in decode(picture(make_chest(bits=12))).warnings


def test_what_is_kept_of_the_header_does_not_show_in_the_value(make_dicom):
    image = decode(make_dicom(Manufacturer="FUJIFILM Corporation", InstitutionName="Site A"))
    assert (image.modality, image.view, image.body_part, image.manufacturer, image.site) == (
        "DX",
        "PA",
        "CHEST",
        "FUJI",
        "Site A",
    )
    assert (image.patient_id, image.sex, image.age_years) == ("SECRET-7", "F", 58)
    assert "SECRET" not in repr(image)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"Modality": "CT"}, NotAChestRadiographError),
        ({"Modality": "OT"}, NotAChestRadiographError),
        ({"SOPClassUID": uid.CTImageStorage}, NotAChestRadiographError),
        ({"BodyPartExamined": "HAND"}, NotAChestRadiographError),
        ({"ViewPosition": "LL"}, NotAChestRadiographError),
        ({"ViewPosition": None, "SeriesDescription": "Chest lat"}, NotAChestRadiographError),
        ({"PresentationIntentType": "FOR PROCESSING"}, NotAChestRadiographError),
        ({"NumberOfFrames": 2}, NotAChestRadiographError),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, NotAChestRadiographError),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, NotAChestRadiographError),
        ({"Rows": 60000, "Columns": 60000}, ImageTooLargeError),
        ({"Rows": 20}, ImageQualityError),
        ({"Rows": 200}, MalformedImageError),
        ({"Rows": None}, MalformedImageError),
        ({"BitsAllocated": 12}, MalformedImageError),
        ({"BitsStored": 17}, MalformedImageError),
    ],
)  # fmt: skip
def test_a_wrong_header_is_refused_with_its_code(make_dicom, attributes, error):
    with pytest.raises(error):
        decode(make_dicom(**attributes))


def test_missing_facts_are_warnings_not_refusals(make_dicom):
    image = decode(make_dicom(BodyPartExamined=None, ViewPosition=None, SOPClassUID=uid.SecondaryCaptureImageStorage))
    assert "body_part_unknown" in image.warnings
    assert image.view == ""
    assert decode(make_dicom(ViewPosition="AP SUPINE")).view == "AP"


def test_a_refusal_does_not_repeat_free_text(make_dicom):
    with pytest.raises(NotAChestRadiographError) as caught:
        decode(make_dicom(BodyPartExamined="HAND OF JOHN DOE"))
    assert "DOE" not in str(caught.value).upper()


@pytest.mark.parametrize(
    "attributes",
    [
        {"BodyPartExamined": "THORACIC SPINE"},
        {"BodyPartExamined": "THORACOLUMBAR"},
        {"BodyPartExamined": "TSPINE"},
        {"BodyPartExamined": None, "SeriesDescription": "Thoracic spine AP"},
        {"BodyPartExamined": None, "StudyDescription": "T SPINE"},
        {"BodyPartExamined": "", "ProtocolName": "THORACIC VERTEBRAE"},
    ],
)
def test_a_spine_is_no_chest_though_it_names_the_thorax(make_dicom, attributes):
    with pytest.raises(NotAChestRadiographError, match="got the spine"):
        decode(make_dicom(**attributes))


def test_a_stated_chest_is_not_refused_for_a_description(make_dicom):
    assert decode(make_dicom(StudyDescription="CHEST, THEN LUMBAR SPINE")).body_part == "CHEST"


@pytest.mark.parametrize(("syntax", "detail"), [("1.2.826.19700101.4711", "its transfer syntax"),
                                                (uid.MPEG2MPML, "MPEG2 Main Profile")])  # fmt: skip
def test_only_a_registered_transfer_syntax_is_named(make_dicom, syntax, detail):
    data = dcmread(io.BytesIO(make_dicom()))
    data.PixelData = encapsulate([bytes(8)])
    data.file_meta.TransferSyntaxUID = uid.UID(syntax)
    with pytest.raises(UnsupportedMediaTypeError, match=detail) as caught:
        stored_values(data)
    assert "19700101" not in str(caught.value)


def test_a_header_that_disagrees_with_the_codestream_is_refused(make_dicom):
    for syntax in (uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1, uid.RLELossless):
        data = make_dicom(syntax=syntax)
        smaller = data.replace(
            struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 80), struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 70)
        )
        assert smaller != data
        with pytest.raises(MalformedImageError):
            decode(smaller)


def test_a_deflated_bomb_is_refused_before_it_is_inflated(make_dicom):
    data = make_dicom(syntax=uid.DeflatedExplicitVRLittleEndian)
    meta_end = 144 + struct.unpack_from("<I", data, 140)[0]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(b"\0" * 30_000_000) + deflater.flush()
    with pytest.raises(ImageTooLargeError):
        decode(data[:meta_end] + body, limits=Limits(max_bytes=10**6, max_pixels=10**6))


def test_a_run_length_bomb_is_refused(make_dicom):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate

    dataset = dcmread(io.BytesIO(make_dicom(syntax=uid.RLELossless)))
    header = struct.pack("<16L", 2, 64, 20064, *([0] * 13))
    dataset.PixelData = encapsulate([header + b"\x81\x07" * 500_000])
    file = io.BytesIO()
    dataset.save_as(file)
    with pytest.raises(MalformedImageError):
        decode(file.getvalue())


@pytest.mark.parametrize("kind", ["explicit", "rle", "jpegls", "j2k", "deflated"])
def test_a_file_cut_off_anywhere_is_refused(make_dicom, kind):
    syntaxes = {
        "explicit": uid.ExplicitVRLittleEndian, "rle": uid.RLELossless, "jpegls": uid.JPEGLSLossless,
        "j2k": uid.JPEG2000Lossless, "deflated": uid.DeflatedExplicitVRLittleEndian,
    }  # fmt: skip
    data = make_dicom(syntax=syntaxes[kind])
    for fraction in np.linspace(0, 0.97, 25):
        with pytest.raises(InvalidImageError):
            decode(data[: int(len(data) * fraction)])


@pytest.mark.parametrize("data", [b"", b"GIF89a" + b"\0" * 99, b"%PDF-1.7", b"\0" * 500, b"hello " * 50])
def test_other_bytes_are_refused_by_their_code(data):
    with pytest.raises(MalformedImageError if not data else UnsupportedMediaTypeError):
        decode(data)
    with pytest.raises(MalformedImageError):
        decode(data, media_type="application/dicom; charset=utf-8")


def test_too_many_bytes_or_pixels_are_refused(make_dicom, make_chest):
    with pytest.raises(ImageTooLargeError):
        decode(make_dicom(), limits=Limits(max_bytes=100))
    with pytest.raises(ImageTooLargeError):
        decode(picture(make_chest(bits=8).astype(np.uint8)), limits=Limits(max_pixels=100))


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(make_chest):
    data = bytearray(picture(make_chest(bits=8).astype(np.uint8)))
    data[16:24] = struct.pack(">2I", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ImageTooLargeError):
        decode(bytes(data))


def test_a_blank_or_tiny_or_coloured_picture_is_refused(make_dicom):
    with pytest.raises(ImageQualityError):
        decode(picture(np.full((100, 100), 7, np.uint8)))
    with pytest.raises(ImageQualityError):
        decode(make_dicom(np.full((100, 100), 7, np.uint16)))
    with pytest.raises(ImageQualityError):
        decode(picture(np.tile(np.arange(30, dtype=np.uint8), (30, 1))))
    photo = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    with pytest.raises(NotAChestRadiographError):
        decode(picture(photo))


@st.composite
def mutations(draw):
    """Bytes to overwrite, and how much to cut off."""
    edits = draw(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=8))
    return edits, draw(st.floats(0.3, 1))


SYNTAXES = [*LOSSLESS, uid.ExplicitVRLittleEndian, uid.JPEGExtended12Bit, "png", "jpeg", "png16"]


@given(syntax=st.sampled_from(SYNTAXES), mutation=mutations(), early=st.booleans())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_give_an_image_or_a_coded_refusal(make_dicom, make_chest, syntax, mutation, early):
    if syntax in ("png", "jpeg"):
        whole = picture(make_chest(bits=8).astype(np.uint8), syntax.upper())
    elif syntax == "png16":
        whole = picture(make_chest(bits=16))
    else:
        whole = make_dicom(syntax=syntax)
    edits, kept = mutation
    data = bytearray(whole)
    reach = min(len(data), 1200) if early else len(data)
    for place, replacement in edits:
        start = int(place * (reach - 1))
        data[start : start + len(replacement)] = replacement
    answer = image_or_refusal(bytes(data[: int(len(data) * kept)]))
    if isinstance(answer, InvalidImageError):
        assert answer.code
        assert 400 <= answer.http_status < 500
    else:
        check_image(answer)


def image_or_refusal(data: bytes) -> DecodedImage | InvalidImageError:
    try:
        return decode(data, limits=Limits(max_pixels=10**6))
    except InvalidImageError as refusal:
        return refusal


@given(
    data=st.binary(max_size=400),
    magic=st.sampled_from([b"\0" * 128 + b"DICM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b""]),
)
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_refused(data, magic):
    with pytest.raises(InvalidImageError):
        decode(magic + data)


def check_image(image: DecodedImage) -> None:
    assert image.pixels.dtype == np.float32
    assert image.pixels.shape == (image.rows, image.columns)
    assert np.isfinite(image.pixels).all()
    assert image.pixels.min() >= 0
    assert image.pixels.max() <= 1
