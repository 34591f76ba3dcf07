import pytest
import torch
from torch import nn

from imaging.training.average import WeightAverage


def test_the_average_follows_the_weights_by_its_growing_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = WeightAverage(model, 0.5)
    expected = 1.0
    for step, value in enumerate((2.0, 4.0, 8.0, 16.0, 1.0, 3.0, 7.0, 2.0, 5.0), start=1):
        nn.init.constant_(model.weight, value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.applied():
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 5.0


def test_batch_norms_statistics_are_averaged_too_and_counters_are_not() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    average = WeightAverage(model, 0.9)
    model.train()(torch.tensor([[10.0, 0.0], [30.0, 0.0]]))
    average.update()
    live = model[0].running_mean.clone()
    with average.applied():
        torch.testing.assert_close(model[0].running_mean, live * (1 - 2 / 11))
        assert model[0].num_batches_tracked == 1
    torch.testing.assert_close(model[0].running_mean, live)
