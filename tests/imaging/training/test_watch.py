import pytest
import torch
from torch import nn

from imaging.errors import TrainingDivergedError, TrainingMemoryError
from imaging.training.watch import LossWatch, memory_advice


def test_the_mean_is_over_what_all_steps_count() -> None:
    watch = LossWatch(torch.device("cpu"), str)
    watch.add(torch.tensor(6.0), torch.tensor(3.0))
    watch.add(torch.tensor(1.0), torch.tensor(1.0))
    assert watch.look() == pytest.approx(7 / 4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_step_whose_loss_is_no_number_is_named(bad: float) -> None:
    watch = LossWatch(torch.device("cpu"), lambda step: f"in step {step}")
    watch.add(torch.tensor(1.0), torch.tensor(1.0))
    with pytest.raises(TrainingDivergedError, match="the training loss is not a number in step 1"):
        watch.add(torch.tensor(bad), torch.tensor(1.0))


class Hungry(nn.Module):
    """Wants more memory than there is for more than `most` images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("no more")
        return images


@pytest.mark.parametrize(("most", "advice"), [(5, "a batch_size of 4 fits"), (0, "not even one image fits")])
def test_memory_that_runs_out_says_which_batch_would_fit(most: int, advice: str) -> None:
    network = Hungry(most)
    with (
        pytest.raises(TrainingMemoryError, match=f"ran out at a batch_size of 16; {advice}"),
        memory_advice(16, lambda size: network(torch.zeros(size))),
    ):
        network(torch.zeros(16))


def test_the_systems_own_refusal_counts_as_memory_too() -> None:
    with pytest.raises(TrainingMemoryError, match="a batch_size of 1 fits"), memory_advice(2, lambda size: None):
        torch.empty(2**60, dtype=torch.uint8)


def test_another_error_passes_through() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_advice(2, lambda size: None):
        raise RuntimeError("shapes do not fit")
