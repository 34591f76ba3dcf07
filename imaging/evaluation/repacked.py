"""A dataset's images at the side that a model reads, made when they are asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imaging.data.transforms import to_square_rgb_uint8, to_square_uint8
from imaging.inference import PackedImages


@dataclass(frozen=True, slots=True)
class Repacked:
    """Packed images (N, S, S) or (N, S, S, 3) uint8 that come out with another side, resized as ingest does."""

    images: npt.NDArray[np.uint8]
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """What an array of all of them would have."""
        return (len(self.images), self.side, self.side, *self.images.shape[3:])

    @property
    def dtype(self) -> "np.dtype[Any]":
        """`uint8`."""
        return self.images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        chosen = np.asarray(self.images[rows])
        if chosen.ndim == 4:
            return np.stack([to_square_rgb_uint8(image, self.side) for image in chosen])
        return np.stack([to_square_uint8(image.astype(np.float32) / 255, self.side) for image in chosen])


def repacked(images: npt.NDArray[np.uint8], side: int) -> PackedImages:
    """Return `images` as they are where they have that side."""
    return images if images.shape[1] == side else Repacked(images, side)
