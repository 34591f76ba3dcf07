"""Where a part's packed images are while it trains: all on the device, or read ahead from disk.

Either way an epoch asks for its batches by their places, in its order, and gets uint8 tensors on the device;
nothing works on one image at a time.
"""

import contextlib
import mmap
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imaging.training.share import ALONE, World

READ_AHEAD = 4
"""Batches that wait for the device when images are read from disk."""
RELEASE_AFTER_BYTES = 256 * 2**20
"""Pages of the file that stay mapped into memory at most, before they are given back."""
READER = "read-ahead"
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedImages:
    """The images of one part of a split: rows of a packed array that may be larger than memory."""

    array: np.ndarray = field(repr=False)
    """(N, S, S) or (N, S, S, 3) uint8; a memory map, or an array."""
    rows: np.ndarray = field(repr=False)
    """(n,) int64: this part's rows, in the order of its labels."""

    @classmethod
    def of(cls, images: np.ndarray | Tensor) -> "PackedImages":
        """Take all rows of `images`."""
        array = images.numpy() if isinstance(images, Tensor) else images
        return cls(array=array, rows=np.arange(len(array)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.array.shape[1:]))

    @property
    def nbytes(self) -> int:
        """Bytes of all of this part's images."""
        return len(self) * self.image_bytes

    def read(self, places: np.ndarray) -> Tensor:
        """Return the images at `places` as a new tensor (n, S, S[, 3]) uint8 on the CPU."""
        return torch.from_numpy(np.ascontiguousarray(self.array[self.rows[places]]))

    def forget_pages(self) -> None:
        """Give mapped pages of the file back; what is asked for again is read again."""
        mapped = getattr(self.array, "_mmap", None)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The batches of an epoch: which images each has, and which of them are this process's."""

    places: list[Tensor]
    """For each batch, the places of this process's images, (n,) int64 on the CPU."""
    on_device: list[Tensor]
    """The same, on the device."""
    totals: list[int]
    """Images of each batch over all processes."""
    shares: list[slice]
    """This process's part of each batch."""

    @classmethod
    def of(cls, batches: Sequence[Tensor], device: torch.device, world: World = ALONE) -> "Plan":
        """Share `batches` (places, on the CPU) out; all places go to the device at once."""
        shares = [world.share(len(batch)) for batch in batches]
        places = [batch[share] for batch, share in zip(batches, shares, strict=True)]
        moved = torch.cat(places).to(device) if places else torch.empty(0, dtype=torch.int64, device=device)
        return cls(
            places=places,
            on_device=list(moved.split([len(part) for part in places])),
            totals=[len(batch) for batch in batches],
            shares=shares,
        )

    @classmethod
    def in_order(cls, count: int, size: int, device: torch.device, world: World = ALONE) -> "Plan":
        """Take `count` images as they come, `size` at a time."""
        return cls.of(torch.arange(count).split(size), device, world)


class ResidentImages:
    """All images on the device: a batch is one gather."""

    def __init__(self, images: PackedImages, device: torch.device) -> None:
        self._images = torch.empty((len(images), *images.array.shape[1:]), dtype=torch.uint8, device=device)
        step = max(1, RELEASE_AFTER_BYTES // max(1, images.image_bytes))
        for first in range(0, len(images), step):
            places = np.arange(first, min(first + step, len(images)))
            self._images[first : first + len(places)] = images.read(places).to(device)
            images.forget_pages()
        self.waited_s = 0.0
        """Seconds that the loop waited for images; next to nothing here."""

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, plan: Plan) -> Iterator[Tensor]:
        """Yield this process's images of each batch, (n, S, S[, 3]) uint8 on the device."""
        for places in plan.on_device:
            started = time.perf_counter()
            batch = self._images.index_select(0, places)
            self.waited_s += time.perf_counter() - started
            yield batch


class StreamedImages:
    """Images on disk, read by a thread a few batches ahead of the device."""

    def __init__(self, images: PackedImages, device: torch.device) -> None:
        self._source = images
        self._device = device
        self.waited_s = 0.0
        """Seconds that the loop waited for the disk."""

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, plan: Plan) -> Iterator[Tensor]:
        """Yield this process's images of each batch, (n, S, S[, 3]) uint8 on the device."""
        ready: queue.Queue[Tensor | Exception | None] = queue.Queue(maxsize=READ_AHEAD)
        stopped = threading.Event()
        wanted = [places.numpy() for places in plan.places]
        thread = threading.Thread(target=self._read_ahead, args=(wanted, ready, stopped), name=READER, daemon=True)
        thread.start()
        try:
            while True:
                started = time.perf_counter()
                item = ready.get()
                self.waited_s += time.perf_counter() - started
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item.to(self._device, non_blocking=True)
        finally:
            stopped.set()
            thread.join()

    def _read_ahead(
        self, wanted: list[np.ndarray], ready: "queue.Queue[Tensor | Exception | None]", stopped: threading.Event
    ) -> None:
        item: Tensor | Exception | None
        try:
            mapped = 0
            for places in wanted:
                item = self._source.read(places)
                mapped += item.numel()
                if mapped > RELEASE_AFTER_BYTES // 8:  # the file system reads whole pages around each image
                    self._source.forget_pages()
                    mapped = 0
                item = item.pin_memory() if self._device.type == "cuda" else item
                if not _offer(ready, item, stopped):
                    return
            item = None
        except Exception as error:  # handed to the loop, which raises it
            item = error
        finally:
            self._source.forget_pages()
        _offer(ready, item, stopped)


Images = ResidentImages | StreamedImages


def place(parts: Sequence[PackedImages], device: torch.device, *, limit_bytes: int | None = None) -> list[Images]:
    """Put all parts on the device where they fit together within `limit_bytes`; else read them from disk."""
    limit = resident_limit(device) if limit_bytes is None else limit_bytes
    kind = ResidentImages if sum(part.nbytes for part in parts) <= limit else StreamedImages
    return [kind(part, device) for part in parts]


def resident_limit(device: torch.device) -> int:
    """Return how many bytes of images may stay on the device: half of its free memory, a quarter of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    import psutil

    total = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        total = min(total, int(CGROUP_LIMIT.read_text()))
    return total // 4


def _offer(
    ready: "queue.Queue[Tensor | Exception | None]", item: Tensor | Exception | None, stopped: threading.Event
) -> bool:
    """Put `item`, unless nobody takes it any more."""
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            ready.put(item, timeout=0.1)
            return True
    return False
