"""Transform and statistics: the same alone as in any batch, and equal to an independent computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imaging.data.statistics import STATISTICS, image_statistics
from imaging.data.transforms import to_square_rgb_uint8, to_square_uint8


@given(images=arrays(np.uint8, (3, 9, 9)))
@settings(max_examples=50, deadline=None)
def test_an_image_is_described_the_same_alone_as_in_a_batch(images):
    together = image_statistics(images)
    for i in range(3):
        alone = image_statistics(images[i : i + 1])
        assert all(alone[name][0] == together[name][i] for name in STATISTICS)


@given(images=arrays(np.uint8, (1, 12, 12)))
@settings(max_examples=50, deadline=None)
def test_statistics_agree_with_numpy(images):
    found = {name: values[0] for name, values in image_statistics(images).items()}
    values = images[0].astype(float) / 255
    steps = np.concatenate([np.abs(np.diff(values, axis=axis)).ravel() for axis in (0, 1)])
    expected = {
        "mean": values.mean(), "std": values.std(), "dark_fraction": (images < 26).mean(),
        "bright_fraction": (images >= 230).mean(), "sharpness": steps.mean(),
        **{f"p{q:02}": np.percentile(values, q, method="inverted_cdf") for q in (5, 50, 95)},
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-6)


def test_small_and_large_images_are_described_alike_and_many_as_few():
    """They take different ways through the histograms, and come in pieces."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 64, 64), dtype=np.uint8)
    large = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2)
    small, doubled = image_statistics(pixels), image_statistics(large)
    for name in STATISTICS:
        if name != "sharpness":
            assert np.allclose(small[name], doubled[name])
    assert small["mean"][299] == image_statistics(pixels[299:])["mean"][0]


def test_a_colour_image_is_described_by_its_luminance():
    grey = np.random.default_rng(0).integers(0, 256, (2, 9, 9), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    for name, values in image_statistics(colour).items():
        assert values.tolist() == image_statistics(grey)[name].tolist()
    red = np.zeros((1, 9, 9, 3), np.uint8)
    red[..., 0] = 255
    assert image_statistics(red)["mean"][0] == pytest.approx(0.299, abs=0.004)


def test_no_images_have_no_statistics():
    found = image_statistics(np.empty((0, 8, 8), np.uint8))
    assert [found[name].shape for name in STATISTICS] == [(0,)] * len(STATISTICS)


@given(value=st.floats(0, 1, width=32), rows=st.integers(1, 90), columns=st.integers(1, 90))
@settings(max_examples=50, deadline=None)
def test_a_flat_picture_stays_flat_at_any_size(value, rows, columns):
    square = to_square_uint8(np.full((rows, columns), value, np.float32), 20)
    assert square.shape == (20, 20)
    assert square.dtype == np.uint8
    assert np.abs(square.astype(float) - value * 255).max() <= 0.51


def test_shrinking_averages_instead_of_skipping():
    stripes = np.tile(np.array([0, 1], np.float32), (64, 32))
    assert np.abs(to_square_uint8(stripes, 16)[:, 1:-1].astype(int) - 128).max() < 20


def test_a_square_of_the_same_size_is_only_rounded():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_square_uint8(values.astype(np.float32) / 255, 16), values)


def test_each_channel_of_a_colour_picture_is_resized_as_a_grey_one():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 31, 3), dtype=np.uint8)
    square = to_square_rgb_uint8(pixels, 16)
    for channel in range(3):
        alone = to_square_uint8(pixels[..., channel].astype(np.float32) / 255, 16)
        assert np.abs(square[..., channel].astype(int) - alone).max() <= 1
    assert np.array_equal(to_square_rgb_uint8(square, 16), square)
