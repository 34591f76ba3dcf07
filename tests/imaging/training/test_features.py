from typing import Any

import pytest
import torch
from torch import Tensor, nn

from imaging.config import AugmentConfig, InputConfig
from imaging.models.layers import Tail, backbone_blocks
from imaging.models.preprocessing import normalise, to_input, to_unit
from imaging.training.augment import augment
from imaging.training.batches import PackedImages, Plan, ResidentImages
from imaging.training.features import FrozenFeatures, Look
from tests.imaging.training.factories import living_network

CONFIG = InputConfig(size=32)


@pytest.mark.parametrize("limit_bytes", [0, 2**30], ids=["nothing kept", "everything kept"])
@pytest.mark.parametrize("depth", [0, 14, 19])
def test_features_then_tail_are_the_whole_network(depth: int, limit_bytes: int) -> None:
    model = living_network()
    images = torch.randint(0, 256, (5, 40, 40), dtype=torch.uint8)
    features = _features(model, images, limit_bytes=limit_bytes)
    features.keep(14, Look())
    features.start_stage(depth, Look())
    chosen = torch.tensor([3, 1])
    with torch.no_grad():
        expected = model(to_input(images[chosen], CONFIG))
        torch.testing.assert_close(Tail(model, depth).eval()(_batch(features, chosen)), expected)


def test_kept_features_are_forgotten_when_the_first_blocks_change() -> None:
    model = living_network()
    features = _features(model, torch.randint(0, 256, (2, 32, 32), dtype=torch.uint8))
    everything, depth = torch.arange(2), len(backbone_blocks(model))
    features.keep(14, Look())
    features.start_stage(depth, Look())
    before = _batch(features, everything)
    with torch.no_grad():
        model.get_parameter("features.0.0.weight").mul_(-1)
    features.forget()
    features.start_stage(depth, Look())
    assert not torch.allclose(_batch(features, everything), before)


def test_an_image_has_as_many_kept_views_as_asked_for_and_each_is_one_that_augmentation_gives() -> None:
    model, depth = living_network(), 19
    images = torch.randint(0, 256, (4, 32, 32), dtype=torch.uint8)
    changes = AugmentConfig(rotation_degrees=20, contrast=0.3)
    features = _features(model, images)
    features.start_stage(depth, Look(changes=changes, views=3, seed=5))
    generator = torch.Generator().manual_seed(5)
    expected = torch.stack([_seen(model, images, changes, generator) for _ in range(3)])
    draws = torch.Generator().manual_seed(0)
    met = set()
    for _ in range(30):
        for place, row in enumerate(_batch(features, torch.arange(4), changes=changes, generator=draws)):
            near = [view for view in range(3) if torch.allclose(row, expected[view, place], atol=1e-4)]
            assert len(near) == 1
            met.add((place, near[0]))
    assert len(met) == 4 * 3


def test_kept_views_are_the_same_whether_or_not_a_later_stage_shares_them() -> None:
    model, look = living_network(), Look(changes=AugmentConfig(rotation_degrees=20), views=2, seed=1)
    images = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    direct, shared = _features(model, images), _features(model, images)
    direct.start_stage(19, look)
    shared.keep(14, look)
    shared.start_stage(19, look)
    draws = [torch.Generator().manual_seed(3) for _ in range(2)]
    everything = torch.arange(3)
    torch.testing.assert_close(
        _batch(direct, everything, generator=draws[0]), _batch(shared, everything, generator=draws[1])
    )


def _seen(model: nn.Module, images: Tensor, changes: AugmentConfig, generator: torch.Generator) -> Tensor:
    unit = augment(to_unit(images, CONFIG), changes, generator)
    with torch.no_grad():
        values = normalise(unit, CONFIG)
        for block in backbone_blocks(model):
            values = block.eval()(values)
    return values.mean((2, 3))


def _features(model: nn.Module, images: Tensor, **options: int) -> FrozenFeatures:
    device = torch.device("cpu")
    return FrozenFeatures(model, ResidentImages(PackedImages.of(images), device), CONFIG, device=device, **options)


def _batch(features: FrozenFeatures, places: Tensor, **options: Any) -> Tensor:
    (values,) = features.batches(Plan.of([places], torch.device("cpu")), **options)
    return values
