"""Images that lie in arrays already (MNIST, CIFAR-10): described by the thousand, without a decoder."""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from imaging.data.candidates import Candidate
from imaging.data.dataset import TEXT_COLUMNS
from imaging.data.layouts.plan import ArrayPart
from imaging.data.pseudonyms import pseudonym
from imaging.data.statistics import STATISTICS, image_statistics, luminance
from imaging.data.transforms import to_square_rgb_uint8
from imaging.errors import DataError

AT_ONCE = 5000
Append = Callable[[np.ndarray], None]


def candidates_of(
    parts: Iterator[ArrayPart], *, size: int, key: bytes, grey: bool, append: Append
) -> Iterator[list[Candidate]]:
    """Hand the images to `append`, some thousand at a time, and yield the rows they become.

    Args:
        parts: Of the same channels all.
        size: Side to which images of another one are resized.
        key: Key of the pseudonyms; each image is its own patient.
        grey: Whether colours are dropped.
        append: Takes (n, size, size) or (n, size, size, 3) uint8.
    """
    row, channels = 1, 0
    for part in parts:
        if channels not in (0, part.images.ndim):
            raise DataError("some of the images are grey and some are in colour; they need one layout each")
        channels = part.images.ndim
        for start in range(0, len(part.images), AT_ONCE):
            images = np.ascontiguousarray(part.images[start : start + AT_ONCE])
            side = images.shape[1]
            packed = _resized(luminance(images) if grey else images, size)
            append(packed)
            yield _rows(packed, part.labels[start : start + AT_ONCE].tolist(), part.split, row, key=key, side=side)
            row += len(packed)


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[1] == size:
        return images
    return np.stack([to_square_rgb_uint8(image, size) for image in images])


def _rows(images: np.ndarray, labels: list[str], split: str, row: int, *, key: bytes, side: int) -> list[Candidate]:
    described = image_statistics(images)
    statistics = list(zip(*(described[name].tolist() for name in STATISTICS), strict=True))
    constant: dict[str, str | int | float] = {**dict.fromkeys(TEXT_COLUMNS, ""), "split_hint": split}
    constant |= {"rows": side, "columns": side}
    is_grey = images.ndim == 3
    candidates = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        sha256 = hashlib.sha256(image.data).hexdigest()
        own: dict[str, str | int | float] = {
            "label": label,
            "patient": pseudonym(f"image sha256:{sha256}", key),
            "pixel_sha256": f"sha256:{sha256}",
            **dict(zip(STATISTICS, statistics[i], strict=True)),
        }
        columns = constant | own
        candidates.append(Candidate(row=row + i, sha256=sha256[:12], packed=None, columns=columns, is_grey=is_grey))
    return candidates
