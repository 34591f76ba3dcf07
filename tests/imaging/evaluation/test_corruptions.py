"""Changed images: of the same kind and shape, the same each time, and changed as their name says."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from imaging.evaluation.corruptions import CORRUPTIONS, corrupt

SIDE = 160


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth pictures with some grain: nothing is black or white."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [np.sin(6 * down + phase) * np.cos(5 * across - phase) for phase in np.linspace(0, 3, 40)]
    return (128 + 60 * np.stack(waves) + rng.normal(0, 3, (40, SIDE, SIDE))).clip(20, 235).astype(np.uint8)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_severity_changes_the_images_more_than_the_one_before(name, images):
    changed = [corrupt(images, name, level) for level in range(len(CORRUPTIONS[name].levels))]
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in changed)
    far = [0.0, *(distance(one, images) for one in changed)]
    assert all(nearer < farther for nearer, farther in pairwise(far)), far


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_bytes_and_leaves_what_came_in_alone(name, images):
    before = images.copy()
    assert np.array_equal(corrupt(images, name, 0, seed=3), corrupt(images, name, 0, seed=3))
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"noise"}))
def test_an_image_alone_changes_as_it_does_at_the_head_of_many(name, images):
    assert np.array_equal(corrupt(images[:1], name, 0), corrupt(images, name, 0)[:1])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_colour_pictures_change_as_grey_ones_do(name, images):
    colour = np.repeat(images[:3, :, :, None], 3, axis=3)
    changed = corrupt(colour, name, 0)
    assert changed.shape == colour.shape
    assert distance(changed[..., 0], corrupt(images[:3], name, 0)) < 1.5  # JPEG rounds colours otherwise


def test_no_image_stays_no_image():
    nothing = np.empty((0, 8, 8), np.uint8)
    assert corrupt(nothing, "blur", 0).shape == nothing.shape


def test_directions_go_both_ways(images):
    brighter = (corrupt(images, "brightness", 0).mean(axis=(1, 2)) > images.mean(axis=(1, 2))).mean()
    assert 0.2 < brighter < 0.8


def test_noise_has_the_size_that_it_says(images):
    grey = np.full_like(images, 128)
    for level, sigma in enumerate(CORRUPTIONS["noise"].levels):
        assert corrupt(grey, "noise", level).std() == pytest.approx(255 * sigma, rel=0.05)


def test_blur_is_pillows_gaussian(images):
    sigma = CORRUPTIONS["blur"].levels[2] * SIDE
    peak = np.zeros((1, SIDE, SIDE), np.uint8)
    peak[0, 81, 83] = 255
    ours = corrupt(peak, "blur", 2)[0].astype(float)
    steps = np.arange(SIDE)
    line = [np.exp(-0.5 * ((steps - centre) / sigma) ** 2) for centre in (81, 83)]
    theirs = 255 * np.outer(line[0] / line[0].sum(), line[1] / line[1].sum())
    assert np.abs(ours - theirs).max() < 2.5
    smooth = np.asarray(Image.fromarray(images[0]).filter(ImageFilter.GaussianBlur(sigma)))
    assert distance(corrupt(images[:1], "blur", 2)[0, 8:-8, 8:-8], smooth[8:-8, 8:-8]) < 1


def test_rotation_is_pillows_to_one_side_or_the_other(images):
    inner = slice(40, -40)
    for one, turned in zip(images[:6], corrupt(images, "rotation", 2)[:6], strict=True):
        sides = [Image.fromarray(one).rotate(angle, Image.Resampling.BILINEAR) for angle in (-20, 20)]
        assert min(distance(np.asarray(side)[inner, inner], turned[inner, inner]) for side in sides) < 1.5


def test_a_crop_shows_a_part_larger(images):
    board = np.zeros((1, SIDE, SIDE), np.uint8)
    board[0, 72:88, 72:88] = 200
    shown = corrupt(np.repeat(board, 8, axis=0), "crop", 2)
    assert (shown > 100).sum(axis=(1, 2)) == pytest.approx(16 * 16 / 0.8**2, rel=0.1)
    middles = {tuple(np.argwhere(one > 100).mean(axis=0).round()) for one in shown}
    assert len(middles) > 3


def test_contrast_keeps_the_mean_and_scales_the_spread(images):
    for one, changed in zip(images, corrupt(images, "contrast", 0), strict=True):
        assert changed.mean() == pytest.approx(one.mean(), abs=2)
        factor = changed.std() / one.std()
        assert min(abs(factor - 0.8), abs(factor - 1.25)) < 0.03


@given(st.integers(0, 255))
@settings(max_examples=30, deadline=None)
def test_inverting_twice_changes_nothing_and_jpeg_keeps_an_even_grey(level):
    grey = np.full((1, 16, 16), level, np.uint8)
    assert np.array_equal(corrupt(corrupt(grey, "inversion", 0), "inversion", 0), grey)
    assert np.abs(corrupt(grey, "jpeg", 2).astype(int) - level).max() <= 6
    assert np.array_equal(corrupt(grey, "resolution", 2), grey)
    assert np.array_equal(corrupt(grey, "rotation", 2), grey)


def test_every_severity_has_its_words():
    for one in CORRUPTIONS.values():
        assert len(one.texts) == len(one.levels)
