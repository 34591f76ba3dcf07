import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imaging.config import Stage, TrainConfig
from imaging.training.sampling import epoch_order, global_batches

STAGES = (Stage(name="all", epochs=1, trainable="all", lr=1e-3),)
PLAIN = TrainConfig(name="tiny", architecture="lenet5", stages=STAGES)
WEIGHTED = PLAIN.replace(weighted_sampling=True)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(labels=st.lists(st.integers(0, 3), max_size=50), seed=st.integers(0, 1000))
def test_an_epoch_has_each_image_once(labels: list[int], seed: int) -> None:
    order = epoch_order(torch.tensor(labels, dtype=torch.int64), classes=4, config=PLAIN, generator=_generator(seed))
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(len(labels)))


@given(labels=st.lists(st.integers(0, 3), max_size=50), seed=st.integers(0, 1000))
def test_a_weighted_epoch_is_as_long_and_draws_images_that_there_are(labels: list[int], seed: int) -> None:
    order = epoch_order(torch.tensor(labels, dtype=torch.int64), classes=4, config=WEIGHTED, generator=_generator(seed))
    assert order.dtype == torch.int64
    assert len(order) == len(labels)
    assert set(order.tolist()) <= set(range(len(labels)))


def test_weighted_sampling_draws_every_class_as_often_and_every_image_of_a_class_as_often() -> None:
    labels = torch.tensor([2] * 9000 + [0] * 900 + [3] * 100)[torch.randperm(10_000, generator=_generator(1))]
    order = epoch_order(labels, classes=4, config=WEIGHTED, generator=_generator())
    assert torch.bincount(labels[order], minlength=4).tolist() == pytest.approx([3333, 0, 3333, 3333], abs=200)
    rare = torch.bincount(order, minlength=len(labels))[labels == 3]
    assert rare.min() > 10
    assert rare.max() < 65


@pytest.mark.parametrize("config", [PLAIN, WEIGHTED])
def test_the_same_seed_gives_the_same_order(config: TrainConfig) -> None:
    labels = torch.arange(40) % 3
    first, again, other = (
        epoch_order(labels, classes=3, config=config, generator=_generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(count=st.integers(0, 100), batch_size=st.integers(1, 40))
def test_batches_hold_the_order_and_differ_by_one_at_most(count: int, batch_size: int) -> None:
    order = torch.randperm(count)
    batches = global_batches(order, batch_size, drop_last=False)
    sizes = [len(batch) for batch in batches]
    assert torch.equal(torch.cat([*batches, order[:0]]), order)
    assert len(sizes) == -(-count // batch_size)
    assert max(sizes, default=0) <= batch_size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@given(count=st.integers(0, 100), batch_size=st.integers(1, 40))
def test_with_drop_last_all_batches_are_of_one_size_and_there_is_at_least_one(count: int, batch_size: int) -> None:
    order = torch.randperm(count)
    batches = global_batches(order, batch_size, drop_last=True)
    sizes = {len(batch) for batch in batches}
    assert sizes == ({min(batch_size, count)} if count else set())
    joined = torch.cat([*batches, order[:0]])
    assert torch.equal(joined, order[: len(joined)])
    assert count - len(joined) < batch_size
