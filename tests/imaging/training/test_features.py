import pytest
import torch

from imaging.config import InputConfig
from imaging.models.layers import Tail, backbone_blocks
from imaging.models.preprocessing import to_input
from imaging.training.features import FrozenFeatures
from tests.imaging.training.factories import living_network

CONFIG = InputConfig(size=32)


@pytest.mark.parametrize("limit_bytes", [0, 2**30], ids=["nothing kept", "everything kept"])
@pytest.mark.parametrize("depth", [0, 14, 19])
def test_features_then_tail_are_the_whole_network(depth: int, limit_bytes: int) -> None:
    model = living_network()
    images = torch.randint(0, 256, (5, 40, 40), dtype=torch.uint8)
    features = FrozenFeatures(model, images, CONFIG, limit_bytes=limit_bytes)
    features.keep(14)
    features.start_stage(depth, fixed=True)
    chosen = torch.tensor([3, 1])
    with torch.no_grad():
        expected = model(to_input(images[chosen], CONFIG))
        torch.testing.assert_close(Tail(model, depth).eval()(features.batch(chosen)), expected)


def test_kept_features_are_forgotten_when_the_first_blocks_change() -> None:
    model = living_network()
    features = FrozenFeatures(model, torch.randint(0, 256, (2, 32, 32), dtype=torch.uint8), CONFIG)
    everything, depth = torch.arange(2), len(backbone_blocks(model))
    features.keep(14)
    features.start_stage(depth, fixed=True)
    before = features.batch(everything)
    with torch.no_grad():
        model.get_parameter("features.0.0.weight").mul_(-1)
    features.forget()
    features.start_stage(depth, fixed=True)
    assert not torch.allclose(features.batch(everything), before)
