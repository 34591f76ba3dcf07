"""Pictures of anything: colour stays, EXIF turns, and every bad input gets a code."""

import io

import numpy as np
import pytest
from PIL import Image

from imaging.dicom.pixels import Limits, decode_colour
from imaging.errors import (
    ImageQualityError,
    ImageTooLargeError,
    MalformedImageError,
    UnsupportedMediaTypeError,
)

COLOUR = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
LIMITS = Limits(min_side=8)


def picture(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def test_a_colour_picture_keeps_its_colours():
    image = decode_colour(picture(COLOUR), limits=LIMITS)
    assert np.array_equal(image.pixels, COLOUR)
    assert not image.is_grey


def test_grey_is_seen_whether_it_was_saved_as_grey_or_as_colour():
    grey = COLOUR[..., 0]
    for saved in (grey, np.repeat(grey[..., None], 3, axis=2)):
        image = decode_colour(picture(saved), limits=LIMITS)
        assert image.is_grey
        assert np.array_equal(image.pixels[..., 2], grey)
    sixteen = decode_colour(picture(grey.astype(np.uint16) * 257), limits=LIMITS)
    assert np.array_equal(sixteen.pixels[..., 1], grey)


def test_a_picture_is_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_colour(picture(COLOUR, exif=exif.tobytes()), limits=LIMITS)
    assert np.array_equal(turned.pixels, np.rot90(COLOUR, -1))


def test_what_is_transparent_is_black_and_not_what_was_hidden_below():
    alpha = np.zeros((30, 40, 1), np.uint8)
    alpha[:15] = 255
    shown = decode_colour(picture(np.concatenate([COLOUR, alpha], axis=2)), limits=LIMITS).pixels
    assert np.array_equal(shown[:15], COLOUR[:15])
    assert not shown[15:].any()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedImageError),
        (b"GIF89a", UnsupportedMediaTypeError),
        (b"\0" * 128 + b"DICM", UnsupportedMediaTypeError),
        (picture(COLOUR)[:200], MalformedImageError),
        (picture(np.full((30, 40, 3), (250, 10, 10), np.uint8)), ImageQualityError),
        (picture(COLOUR[:4]), ImageQualityError),
        (picture(np.zeros((2000, 2000), np.uint8)), ImageTooLargeError),
        (picture(Image.fromarray(COLOUR), save_all=True, append_images=[Image.fromarray(COLOUR[::-1])]),
         MalformedImageError),
    ],
    ids=["nothing", "gif", "dicom", "cut off", "one colour", "tiny", "huge", "animation"],
)  # fmt: skip
def test_what_is_no_picture_to_learn_from_gets_its_code(data, error):
    with pytest.raises(error):
        decode_colour(data, limits=Limits(min_side=8, max_pixels=10**6))
