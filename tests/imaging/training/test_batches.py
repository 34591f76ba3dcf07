import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imaging.training.batches import READER, PackedImages, Plan, ResidentImages, StreamedImages, place
from imaging.training.share import World

CPU = torch.device("cpu")


def _memory_map(folder: Path, count: int = 40, side: int = 16) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    return np.load(folder / "images.npy", mmap_mode="r")


@pytest.mark.parametrize("kind", [ResidentImages, StreamedImages])
def test_a_batch_is_the_images_at_its_places_wherever_they_are_kept(tmp_path: Path, kind: type) -> None:
    array = _memory_map(tmp_path)
    part = PackedImages(array=array, rows=np.arange(39, 9, -1))
    order = [torch.tensor([3, 0, 29]), torch.tensor([7])]
    batches = list(kind(part, CPU).batches(Plan.of(order, CPU)))
    assert [batch.dtype for batch in batches] == [torch.uint8, torch.uint8]
    for places, batch in zip(order, batches, strict=True):
        np.testing.assert_array_equal(batch.numpy(), array[39 - places.numpy()])


def test_images_are_read_from_disk_when_both_parts_together_are_too_large(tmp_path: Path) -> None:
    parts = [PackedImages.of(_memory_map(tmp_path))] * 2
    assert all(isinstance(part, StreamedImages) for part in place(parts, CPU, limit_bytes=2 * parts[0].nbytes - 1))
    assert all(isinstance(part, ResidentImages) for part in place(parts, CPU, limit_bytes=2 * parts[0].nbytes))


def test_a_loop_that_stops_early_leaves_no_reader_behind(tmp_path: Path) -> None:
    images = StreamedImages(PackedImages.of(_memory_map(tmp_path)), CPU)
    batches = images.batches(Plan.in_order(40, 2, CPU))
    next(batches)
    assert READER in {thread.name for thread in threading.enumerate()}
    batches.close()
    assert READER not in {thread.name for thread in threading.enumerate()}


def test_what_goes_wrong_while_reading_ahead_is_raised_in_the_loop() -> None:
    images = StreamedImages(PackedImages(array=np.zeros((3, 8, 8), np.uint8), rows=np.array([0, 9])), CPU)
    with pytest.raises(IndexError, match="out of bounds"):
        list(images.batches(Plan.in_order(2, 1, CPU)))


def test_an_epoch_over_a_file_larger_than_its_allowance_keeps_little_of_it_in_memory(tmp_path: Path) -> None:
    side, count = 512, 3000  # 750 MiB; the file is sparse
    path = tmp_path / "images.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, side, side))
    part = PackedImages.of(np.load(path, mmap_mode="r"))
    process = psutil.Process()
    before, most = process.memory_info().rss, 0
    for batch in StreamedImages(part, CPU).batches(Plan.of(torch.randperm(count).split(32), CPU)):
        assert batch.shape[1:] == (side, side)
        most = max(most, process.memory_info().rss)
    assert most - before < 200 * 2**20


@given(count=st.integers(1, 50), size=st.integers(1, 7))
def test_shares_of_a_batch_are_the_whole_batch_once(count: int, size: int) -> None:
    shares = [World(rank=rank, size=size).share(count) for rank in range(size)]
    assert [place for share in shares for place in range(count)[share]] == list(range(count))
    assert max(s.stop - s.start for s in shares) - min(s.stop - s.start for s in shares) <= 1
