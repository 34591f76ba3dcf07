"""Grey values: windows, tables, polarity, padding, signs and bits, against the standard's formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging.dicom.pixels import decode


def test_a_full_window_shows_the_stored_values_unchanged(make_dicom, make_chest):
    image = decode(make_dicom())
    assert image.warnings == ("low_resolution",)
    assert np.allclose(image.pixels, make_chest() / 4095, atol=1e-6)
    assert image.pixels.dtype == np.float32


@given(centre=st.integers(2000, 2800), width=st.integers(2500, 4000))
@settings(max_examples=25, deadline=None)
def test_monochrome1_is_the_negative_of_monochrome2(make_dicom, centre, width):
    window = {"WindowCenter": centre, "WindowWidth": width}
    positive = decode(make_dicom(**window)).pixels
    negative = decode(make_dicom(PhotometricInterpretation="MONOCHROME1", **window)).pixels
    assert np.allclose(positive, 1 - negative, atol=1e-6)


@given(centre=st.integers(2000, 2800), width=st.integers(2500, 4000))
@settings(max_examples=25, deadline=None)
def test_each_voi_function_is_the_standards_formula(make_dicom, make_chest, centre, width):
    stored = make_chest().astype(float)
    expected = {
        "LINEAR": np.clip((stored - (centre - 0.5)) / (width - 1) + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((stored - centre) / width + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (stored - centre) / width)),
    }
    for function, grey in expected.items():
        image = decode(make_dicom(WindowCenter=centre, WindowWidth=width, VOILUTFunction=function))
        assert np.allclose(image.pixels, grey, atol=1e-5), function


def test_of_several_windows_the_first_is_used(make_dicom):
    one = decode(make_dicom(WindowCenter=2000, WindowWidth=3000))
    two = decode(make_dicom(WindowCenter=[2000, 100], WindowWidth=[3000, 10]))
    assert np.array_equal(one.pixels, two.pixels)


@pytest.mark.parametrize(("centre", "width"), [(60000, 10), (2048, 0), (2048, 1), (2048, -5), (0, 10**9)])
def test_an_absurd_window_is_replaced_by_percentiles_and_says_so(make_dicom, centre, width):
    image = decode(make_dicom(WindowCenter=centre, WindowWidth=width))
    assert "window_ignored" in image.warnings
    assert image.pixels.min() == 0
    assert image.pixels.max() == 1
    assert image.pixels.std() > 0.1


def test_a_missing_window_is_replaced_by_percentiles_and_says_so(make_dicom):
    image = decode(make_dicom(WindowCenter=None, WindowWidth=None))
    assert "window_missing" in image.warnings
    assert image.pixels.std() > 0.1


def test_eight_bits_without_a_window_are_shown_whole(make_dicom, make_chest):
    stored = make_chest(bits=8).astype(np.uint8)
    image = decode(make_dicom(stored, bits=8, WindowCenter=None, WindowWidth=None))
    assert np.allclose(image.pixels, stored / 255, atol=1e-6)
    assert "window_missing" not in image.warnings


def test_an_unreadable_window_does_not_stop_the_image(make_dicom):
    data = make_dicom(WindowCenter="1000", WindowWidth="4000")
    broken = data.replace(b"DS\x04\x004000", b"DS\x04\x00abcd")
    assert broken != data
    assert "window_ignored" in decode(broken).warnings


def test_rescale_comes_before_the_window(make_dicom):
    plain = decode(make_dicom())
    scaled = decode(
        make_dicom(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=2 * 2047.75 - 100 + 0.5, WindowWidth=8191)
    )
    assert np.allclose(plain.pixels, scaled.pixels, atol=1e-3)


def test_a_voi_table_is_followed(make_dicom, make_chest):
    curve = np.round((np.linspace(0, 1, 4096) ** 0.5) * 65535).astype(np.uint16)

    def add(dataset: Dataset) -> None:
        item = Dataset()
        item.LUTDescriptor = [4096, 0, 16]
        item.add_new("LUTData", "OW", curve.tobytes())
        dataset.VOILUTSequence = Sequence([item])

    assert np.allclose(decode(make_dicom(change=add)).pixels, curve[make_chest()] / 65535, atol=1e-6)


def test_a_damaged_voi_table_falls_back_to_the_window(make_dicom):
    def add(dataset: Dataset) -> None:
        item = Dataset()
        item.LUTDescriptor = [4096, 0, 16]
        item.add_new("LUTData", "OW", b"\1\2")
        dataset.VOILUTSequence = Sequence([item])

    assert np.array_equal(decode(make_dicom(change=add)).pixels, decode(make_dicom()).pixels)


def test_inverse_presentation_is_never_applied_twice(make_dicom):
    once = decode(make_dicom(PhotometricInterpretation="MONOCHROME1"))
    declared = decode(make_dicom(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    assert np.array_equal(once.pixels, declared.pixels)
    on_two = decode(make_dicom(PresentationLUTShape="INVERSE"))
    assert np.array_equal(once.pixels, on_two.pixels)
    assert "polarity_conflict" in on_two.warnings


def test_a_header_that_lies_about_polarity_is_suspected(make_dicom):
    assert "polarity_suspect" in decode(make_dicom(PhotometricInterpretation="MONOCHROME1")).warnings
    assert "polarity_suspect" not in decode(make_dicom()).warnings


def test_signed_pixels_keep_their_order(make_dicom, make_chest):
    signed = make_chest().astype(np.int16) - 2048
    image = decode(make_dicom(signed, WindowCenter=0, WindowWidth=4096))
    assert np.allclose(image.pixels, decode(make_dicom()).pixels, atol=1e-6)


@given(rubbish=st.integers(1, 15))
@settings(max_examples=10, deadline=None)
def test_bits_above_those_stored_do_not_matter(make_dicom, make_chest, rubbish):
    with_overlay = make_chest() | np.uint16(rubbish << 12)
    assert np.array_equal(decode(make_dicom(with_overlay)).pixels, decode(make_dicom()).pixels)


def test_a_high_bit_above_the_usual_place_shifts_the_values(make_dicom, make_chest):
    shifted = make_chest() << np.uint16(4)
    assert np.array_equal(decode(make_dicom(shifted, HighBit=15)).pixels, decode(make_dicom()).pixels)


def test_padding_is_black_and_does_not_widen_the_percentiles(make_dicom, make_chest):
    padded = make_chest() // 2
    padded[:, :30] = 4095
    image = decode(make_dicom(padded, PixelPaddingValue=4095, WindowCenter=None, WindowWidth=None))
    assert (image.pixels[:, :30] == 0).all()
    assert image.pixels[:, 30:].max() == 1


def test_the_real_files_show_dark_lungs_and_bright_bones(real_data):
    from imaging.dicom.quality import polarity

    files = sorted((real_data / "dicom").glob("*.dcm"))
    assert len(files) == 5
    for file in files:
        image = decode(file.read_bytes())
        lies = file.name == "rsna_cr_fake_monochrome1.dcm"
        assert ("polarity_suspect" in image.warnings) == lies
        assert (polarity(image.pixels) > 0.15) != lies
