import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision

from imaging.config import AugmentConfig
from imaging.training.augment import Amounts, affine_matrices, apply, augment, draw

GEOMETRY = AugmentConfig(rotation_degrees=20, scale=(0.8, 1.2), shift=0.1, shear_degrees=8, crop_area=(0.5, 1.0))
EVERYTHING = AugmentConfig(
    **GEOMETRY.model_dump(include=GEOMETRY.model_fields_set),
    crop_padding=2,
    flip=True,
    brightness=0.2,
    contrast=0.3,
    cutout=0.3,
    noise=0.1,
)
WHOLE_PIXELS = AugmentConfig(crop_padding=3, flip=True)
BILINEAR = InterpolationMode.BILINEAR

bounds = st.builds(
    AugmentConfig,
    rotation_degrees=st.sampled_from([0.0, 15.0, 180.0]),
    scale=st.sampled_from([(1.0, 1.0), (0.5, 1.5)]),
    shift=st.sampled_from([0.0, 0.3]),
    shear_degrees=st.sampled_from([0.0, 30.0]),
    crop_area=st.sampled_from([(1.0, 1.0), (0.2, 0.9)]),
    crop_padding=st.integers(0, 5),
    flip=st.booleans(),
    brightness=st.sampled_from([0.0, 0.9]),
    contrast=st.sampled_from([0.0, 0.9]),
    cutout=st.sampled_from([0.0, 0.5]),
    noise=st.sampled_from([0.0, 0.5]),
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(count: int, channels: int = 3, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=_generator(seed))


def _amounts(count: int = 1, **numbers: Any) -> Amounts:
    """Amounts that change nothing but for those named: `matrix` (2, 3) or columns by their names."""
    names = ("pad_x", "pad_y", "mirrored", "contrast", "brightness", "cutout_x", "cutout_y", "noise")
    rest = torch.tensor([float(numbers.get(name, name == "contrast")) for name in names])
    matrix = numbers.get("matrix", torch.eye(2, 3)).reshape(6)
    return Amounts(numbers=torch.cat([matrix, rest]).expand(count, -1), noise_seed=0)


def test_no_augmentation_gives_the_same_tensor_back() -> None:
    images = _images(3)
    assert augment(images, AugmentConfig(), _generator()) is images


@given(config=bounds, channels=st.sampled_from([1, 3]), seed=st.integers(0, 1000))
def test_values_stay_in_range_and_the_images_given_as_they_were(
    config: AugmentConfig, channels: int, seed: int
) -> None:
    images = _images(2, channels, 12)
    before = images.clone()
    changed = augment(images, config, _generator(seed))
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6
    assert torch.equal(images, before)


@given(config=bounds, channels=st.sampled_from([1, 3]), seed=st.integers(0, 1000))
def test_an_image_does_not_depend_on_its_neighbours(config: AugmentConfig, channels: int, seed: int) -> None:
    images = _images(5, channels, 11)
    whole = augment(images, config, _generator(seed))
    for share in (slice(0, 2), slice(2, 3), slice(3, 5)):
        alone = augment(images[share], config, _generator(seed), share=share, total=5)
        torch.testing.assert_close(alone, whole[share], rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [EVERYTHING, WHOLE_PIXELS])
def test_a_device_without_an_image_of_the_batch_gets_none_back(config: AugmentConfig) -> None:
    assert augment(_images(0), config, _generator(), share=slice(2, 2), total=5).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("config", [EVERYTHING, WHOLE_PIXELS, AugmentConfig(contrast=0.5, noise=0.2)])
def test_the_memory_format_changes_no_value(config: AugmentConfig) -> None:
    images = _images(4)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        augment(last, config, _generator()), augment(images, config, _generator()), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("config", [GEOMETRY, EVERYTHING, WHOLE_PIXELS])
def test_the_same_seed_changes_images_in_the_same_way_and_each_in_its_own(config: AugmentConfig) -> None:
    images = _images(1).expand(8, -1, -1, -1)
    first, again, other = (augment(images, config, _generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > 4


def test_switching_one_change_on_leaves_the_amounts_of_the_others() -> None:
    fewer = EVERYTHING.model_copy(update={"noise": 0.0, "flip": False, "cutout": 0.0})
    one, two = draw(6, EVERYTHING, _generator()), draw(6, fewer, _generator())
    differ = (one.numbers != two.numbers).any(0)
    mirrored = 8
    assert not differ[[1, 2, 4, 5, 6, 7, *range(9, 14)]].any()
    assert differ[mirrored]


def test_every_configuration_takes_as_many_numbers_from_the_generator() -> None:
    after = []
    for config in (AugmentConfig(), EVERYTHING, WHOLE_PIXELS):
        generator = _generator()
        draw(7, config, generator)
        after.append(generator.get_state())
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("angle", "scale", "shear", "shift"),
    [(30, 1.0, 0, (0, 0)), (0, 1.3, 0, (0, 0)), (0, 1.0, 20, (0, 0)), (0, 1.0, 0, (3, -2)), (-110, 0.7, -15, (1, 5))],
)
def test_geometry_is_torchvisions(
    channels: int, angle: float, scale: float, shear: float, shift: tuple[int, int]
) -> None:
    images = _images(2, channels, 20)
    matrix = affine_matrices(
        torch.tensor([math.radians(angle)]),
        scale=torch.tensor([scale]),
        shear=torch.tensor([math.radians(shear)]),
        shift_x=torch.tensor([shift[0] / 20]),
        shift_y=torch.tensor([shift[1] / 20]),
    )
    changed = apply(images, _amounts(2, matrix=matrix), GEOMETRY.model_copy())
    expected = torchvision.affine(images, angle, list(shift), scale, [shear, 0.0], interpolation=BILINEAR)
    torch.testing.assert_close(changed, expected, rtol=0, atol=1e-5)


@given(seed=st.integers(0, 1000))
def test_drawn_angles_and_shifts_are_those_that_torchvision_needs_for_the_same_image(seed: int) -> None:
    images, config = _images(1, 1, 24), AugmentConfig(rotation_degrees=40, shift=0.2)
    matrix = draw(1, config, _generator(seed)).numbers[0, :6].view(2, 3)
    angle = math.degrees(math.atan2(float(matrix[0, 1]), float(matrix[0, 0])))
    shift = torch.linalg.solve(matrix[:, :2], -matrix[:, 2]) * 12
    assert abs(angle) <= 40
    assert shift.abs().max() <= 0.2 * 24 + 1e-4
    expected = torchvision.affine(
        images, angle, [float(shift[0]), float(shift[1])], 1.0, [0.0, 0.0], interpolation=BILINEAR
    )
    torch.testing.assert_close(augment(images, config, _generator(seed)), expected, rtol=0, atol=2e-5)


@given(seed=st.integers(0, 1000))
def test_a_resized_crop_lies_in_the_picture_and_keeps_its_share_of_the_area(seed: int) -> None:
    matrices = draw(20, AugmentConfig(crop_area=(0.25, 0.8)), _generator(seed)).numbers[:, :6].view(-1, 2, 3)
    area = matrices[:, 0, 0] * matrices[:, 1, 1]
    assert area.min() >= 0.25 - 1e-5
    assert area.max() <= 0.8 + 1e-5
    corner = matrices[:, [0, 1], [0, 1]] + matrices[:, :, 2].abs()
    assert corner.max() <= 1 + 1e-5


@pytest.mark.parametrize("place", [(0, 0), (5, 3), (16, 16)])
def test_a_resized_crop_at_whole_pixels_is_torchvisions(place: tuple[int, int]) -> None:
    images = _images(2, 3, 32)
    left, top = place
    matrix = torch.tensor([[0.5, 0.0, left / 16 - 0.5], [0.0, 0.5, top / 16 - 0.5]])
    changed = apply(images, _amounts(2, matrix=matrix), AugmentConfig(crop_area=(0.25, 0.25)))
    expected = torchvision.resized_crop(images, top, left, 16, 16, [32, 32], antialias=False)
    torch.testing.assert_close(changed[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mirrored", [0, 1])
@pytest.mark.parametrize("pad", [(0, 0), (-3, 2), (1, -3)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_padded_crop_and_mirror_are_torchvisions(
    channels: int, mirrored: int, pad: tuple[int, int], memory_format: torch.memory_format
) -> None:
    images = _images(2, channels).contiguous(memory_format=memory_format)
    amounts = _amounts(2, pad_x=pad[0], pad_y=pad[1], mirrored=mirrored)
    expected = torchvision.crop(torchvision.pad(images, [3]), pad[1] + 3, pad[0] + 3, 16, 16)
    expected = torchvision.horizontal_flip(expected) if mirrored else expected
    assert torch.equal(apply(images, amounts, WHOLE_PIXELS), expected)


@given(seed=st.integers(0, 1000))
def test_whole_pixels_are_the_same_by_copying_and_by_sampling(seed: int) -> None:
    images = _images(6, 3, 15)
    barely = WHOLE_PIXELS.model_copy(update={"rotation_degrees": 1e-7})
    torch.testing.assert_close(
        augment(images, barely, _generator(seed)), augment(images, WHOLE_PIXELS, _generator(seed)), rtol=0, atol=1e-4
    )


def test_every_place_of_the_padded_crop_and_half_of_the_mirrors_are_drawn() -> None:
    drawn = draw(4000, WHOLE_PIXELS, _generator()).numbers
    for column in (6, 7):
        places, counts = drawn[:, column].unique(return_counts=True)
        assert places.tolist() == [-3, -2, -1, 0, 1, 2, 3]
        assert counts.min() > 450
    assert float(drawn[:, 8].mean()) == pytest.approx(0.5, abs=0.05)


@given(config=st.sampled_from([WHOLE_PIXELS.model_copy(update={"crop_padding": 0}), AugmentConfig(flip=True)]))
def test_mirrored_twice_is_the_same(config: AugmentConfig) -> None:
    images, amounts = _images(3), draw(3, config, _generator())
    assert torch.equal(apply(apply(images, amounts, config), amounts, config), images)


def test_contrast_is_about_the_mean_and_brightness_is_added() -> None:
    images = 0.4 + 0.2 * _images(2)
    config = AugmentConfig(contrast=0.5, brightness=0.5)
    changed = apply(images, _amounts(2, contrast=1.5, brightness=0.1), config)
    mean = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(changed, mean + 1.5 * (images - mean) + 0.1)


@pytest.mark.parametrize(("x", "y", "blank"), [(0.5, 0.5, 16), (0.0, 0.5, 8), (0.0, 0.0, 4), (0.999, 0.999, 9)])
def test_cutout_blanks_its_square_as_far_as_it_lies_inside(x: float, y: float, blank: int) -> None:
    images = torch.full((1, 3, 16, 16), 0.5)
    changed = apply(images, _amounts(cutout_x=x, cutout_y=y), AugmentConfig(cutout=0.25))
    assert (changed == 0).sum((2, 3)).tolist() == [[blank] * 3]
    assert ((changed == 0) | (changed == 0.5)).all()
    assert (changed == 0).any(1).any(1).sum() * (changed == 0).any(1).any(2).sum() == blank


@pytest.mark.parametrize("side", [16, 96])
def test_noise_is_normal_of_its_deviation_and_other_for_each_image(side: int) -> None:
    images = torch.full((40, 3, side, side), 0.5)
    noise = augment(images, AugmentConfig(noise=0.05), _generator()) - 0.5
    assert float(noise.mean()) == pytest.approx(0, abs=0.002)
    assert noise.std((1, 2, 3)).tolist() == pytest.approx([0.05] * 40, rel=0.15)
    assert float((noise.abs() < 0.05).float().mean()) == pytest.approx(0.683, abs=0.01)
    assert len({image.numpy().tobytes() for image in noise}) == 40


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_larger_scale_makes_a_disc_larger(scale: float) -> None:
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    disc = (x.square() + y.square() < 12**2).float().view(1, 1, 64, 64)
    changed = augment(disc, AugmentConfig(scale=(scale, scale)), _generator())
    assert changed.sum() / disc.sum() == pytest.approx(scale**2, rel=0.05)


def test_no_gradient_runs_through() -> None:
    images = _images(2).requires_grad_()
    assert not augment(images, EVERYTHING, _generator()).requires_grad
