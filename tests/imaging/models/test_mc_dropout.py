"""Thinned heads: the same for every image and every batch, drawn from a seed."""

import numpy as np
import pytest
import torch
from torch import nn

from imaging.models.mc_dropout import entropy_nats, has_dropout, mutual_information_nats, thinned_logits


def head(p: float = 0.4) -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(p), nn.Linear(8, 8), nn.ReLU(), nn.Dropout(p))
    return nn.Sequential(nn.Flatten(), inner, nn.Linear(8, 3)).eval()


def test_an_image_is_answered_alike_alone_and_in_any_batch() -> None:
    inputs = torch.randn(6, 8)
    together = thinned_logits(head(), inputs, passes=5, seed=3)
    assert together.shape == (5, 6, 3)
    torch.testing.assert_close(thinned_logits(head(), inputs[4:5], passes=5, seed=3), together[:, 4:5])
    assert together.std(dim=0).min() > 1e-3
    assert not torch.equal(thinned_logits(head(), inputs, passes=5, seed=4), together)


def test_the_mean_of_many_thinned_linear_heads_is_the_whole_head() -> None:
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3)).eval()
    inputs = torch.randn(4, 8)
    torch.testing.assert_close(thinned_logits(layers, inputs, passes=4000).mean(0), layers(inputs), atol=0.06, rtol=0)


def test_asking_leaves_the_head_and_the_global_random_state_as_they_were() -> None:
    layers, inputs = head(), torch.randn(2, 8)
    before, state = layers(inputs), torch.get_rng_state()
    thinned_logits(layers, inputs)
    assert torch.equal(layers(inputs), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(layer.training for layer in layers.modules())


def test_a_head_without_dropout_is_known() -> None:
    assert has_dropout(head())
    assert not has_dropout(head(0.0))
    assert not has_dropout(nn.Linear(8, 3))


def test_information_is_the_number_worked_by_hand_and_none_where_all_agree() -> None:
    opposed = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert mutual_information_nats(opposed) == pytest.approx([np.log(2)])
    assert mutual_information_nats(np.full((4, 2, 3), 1 / 3)) == pytest.approx([0, 0])
    assert entropy_nats(np.array([0.5, 0.5, 0.0])) == pytest.approx(np.log(2))
    assert str(entropy_nats(np.array([1.0, 0.0]))) == "0.0"
