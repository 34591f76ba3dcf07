import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional as tensors
from torchvision.transforms.v2 import functional

from imaging.config import InputConfig
from imaging.errors import ConfigurationError
from imaging.models.preprocessing import normalise, to_input, to_unit, toned

TONES = ("linear", "percentile", "equalise")
sides = st.integers(8, 24)
grey = sides.flatmap(lambda side: arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(side), st.just(side))))
colour = sides.flatmap(
    lambda side: arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(side), st.just(side), st.just(3)))
)


def test_an_input_is_normalised_grey_in_every_channel() -> None:
    images = torch.randint(0, 256, (2, 16, 16), dtype=torch.uint8)
    config = InputConfig(size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    inputs = to_input(images, config)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
        torch.testing.assert_close(inputs[:, channel], (images / 255 - mean) / std)


def test_a_colour_input_is_normalised_channel_by_channel() -> None:
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    config = InputConfig(size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    inputs = to_input(images, config)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
        torch.testing.assert_close(inputs[:, channel], (images[..., channel] / 255 - mean) / std)


def test_grey_and_resized_is_what_it_was_before_there_was_more() -> None:
    images = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)
    config = InputConfig(size=16)
    unit = tensors.interpolate(
        (images.float() / 255).unsqueeze(1), size=(16, 16), mode="bilinear", antialias=True, align_corners=False
    ).squeeze(1)
    mean, std = torch.tensor(config.mean), torch.tensor(config.std)
    expected = torch.addcmul(-mean / std, unit.unsqueeze(-1), 1.0 / std).permute(0, 3, 1, 2)
    assert torch.equal(to_input(images, config), expected)


def test_a_network_for_grey_refuses_colour_in_words() -> None:
    with pytest.raises(ConfigurationError, match="reads grey images and the dataset has colour ones; set input"):
        normalise(torch.zeros(1, 3, 8, 8), InputConfig(size=8, channels=1, mean=(0.5,), std=(0.5,)))


def test_resizing_keeps_the_mean_of_a_fine_pattern() -> None:
    board = ((torch.arange(64).view(1, -1) + torch.arange(64).view(-1, 1)) % 2 * 255).to(torch.uint8)
    small = to_unit(board.unsqueeze(0), InputConfig(size=16))
    assert small.shape == (1, 1, 16, 16)
    assert (small - 0.5).abs().max() < 0.06
    in_colour = to_unit(board.view(1, 64, 64, 1).expand(-1, -1, -1, 3), InputConfig(size=16))
    assert in_colour.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(in_colour, small.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 28, 28, 3)])
def test_padding_is_black_and_around(shape: tuple[int, ...]) -> None:
    unit = to_unit(torch.full(shape, 255, dtype=torch.uint8), InputConfig(size=32, fit="pad"))
    assert unit.shape[-2:] == (32, 32)
    assert (unit[:, :, 2:30, 2:30] == 1).all()
    assert unit.sum() == unit.shape[1] * 28 * 28


def test_padding_cannot_shrink() -> None:
    with pytest.raises(ConfigurationError, match="64 px cannot be padded to 32 px; use the fit 'resize'"):
        to_unit(torch.zeros(1, 64, 64, dtype=torch.uint8), InputConfig(size=32, fit="pad"))


@given(images=grey)
def test_percentiles_are_numpys(images: np.ndarray) -> None:
    found = toned(torch.from_numpy(images), "percentile").numpy()
    for image, ours in zip(images, found, strict=True):
        low, high = np.percentile(image, (1, 99))
        expected = np.clip((image - low) / (high - low), 0, 1) if high > low else image / 255
        np.testing.assert_allclose(ours, expected, atol=1e-4)


@given(images=colour)
def test_a_colour_image_is_stretched_as_one(images: np.ndarray) -> None:
    found = toned(torch.from_numpy(images), "percentile")
    flat = torch.from_numpy(images.reshape(len(images), -1, 1))
    assert torch.equal(found.reshape(flat.shape), toned(flat, "percentile"))


@given(images=grey)
def test_equalising_is_torchvisions(images: np.ndarray) -> None:
    packed = torch.from_numpy(images)
    assert torch.equal(toned(packed, "equalise"), functional.equalize(packed.unsqueeze(1)).squeeze(1) / 255)


@given(images=colour)
def test_equalising_colours_is_torchvisions(images: np.ndarray) -> None:
    packed = torch.from_numpy(images)
    expected = functional.equalize(packed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) / 255
    assert torch.equal(toned(packed, "equalise"), expected)


@given(images=st.one_of(grey, colour), tone=st.sampled_from(TONES), fit=st.sampled_from(["resize", "pad"]))
def test_an_image_does_not_depend_on_its_batch(images: np.ndarray, tone: str, fit: str) -> None:
    config = InputConfig(size=24, tone=tone, fit=fit)
    packed = torch.from_numpy(images)
    together = to_unit(packed, config)
    assert together.min() >= 0
    assert together.max() <= 1 + 1e-6
    for index in range(len(packed)):
        assert torch.equal(to_unit(packed[index : index + 1], config)[0], together[index])


@pytest.mark.parametrize("tone", TONES)
def test_nothing_becomes_nothing(tone: str) -> None:
    assert to_unit(torch.zeros(0, 16, 16, dtype=torch.uint8), InputConfig(size=16, tone=tone)).shape == (0, 1, 16, 16)


def test_an_input_needs_a_mean_for_each_channel() -> None:
    with pytest.raises(ConfigurationError, match="got 2 and 3"):
        to_input(torch.zeros(1, 8, 8, dtype=torch.uint8), InputConfig(size=8, mean=(0.1, 0.2)))
