import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imaging.config import AugmentConfig
from imaging.training.augment import augment


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_augmentation_changes_nothing() -> None:
    images = torch.rand(3, 16, 16)
    assert torch.equal(augment(images, AugmentConfig(), _generator()), images)


@given(
    rotation=st.floats(0, 180),
    shift=st.floats(0, 0.5),
    brightness=st.floats(0, 0.9),
    contrast=st.floats(0, 0.9),
    seed=st.integers(0, 1000),
)
def test_grey_values_stay_in_range(
    rotation: float, shift: float, brightness: float, contrast: float, seed: int
) -> None:
    config = AugmentConfig(
        rotation_degrees=rotation, scale=(0.8, 1.2), shift=shift, brightness=brightness, contrast=contrast
    )
    changed = augment(torch.rand(2, 12, 12), config, _generator(seed))
    assert changed.shape == (2, 12, 12)
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6


def test_the_same_seed_changes_images_in_the_same_way() -> None:
    images, config = torch.rand(4, 16, 16), AugmentConfig(rotation_degrees=20, shift=0.1, contrast=0.3)
    first, again = (augment(images, config, _generator(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(images, config, _generator(6)))


def test_each_image_is_changed_by_its_own_amounts() -> None:
    images = torch.rand(1, 16, 16).expand(2, -1, -1).contiguous()
    first, second = augment(images, AugmentConfig(rotation_degrees=30), _generator())
    assert not torch.equal(first, second)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_larger_scale_makes_a_disc_larger(scale: float) -> None:
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    disc = (x.square() + y.square() < 12**2).float().unsqueeze(0)
    changed = augment(disc, AugmentConfig(scale=(scale, scale)), _generator())
    assert changed.sum() / disc.sum() == pytest.approx(scale**2, rel=0.05)
