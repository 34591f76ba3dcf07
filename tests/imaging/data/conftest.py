"""Small folders of real pictures, and the dataset made of them."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.data.dataset import COLUMNS, IMAGES, Dataset, load_dataset, write_dataset
from imaging.data.statistics import image_statistics

KEY = bytes(range(32))


def picture(seed: int, side: int = 80) -> np.ndarray:
    """A smooth random picture: no two seeds give the same."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def write_folder(root: Path, rows: Iterable[tuple[str, int]]) -> Path:
    """Write one PNG for each (relative name, seed)."""
    for name, seed in rows:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(path)
    return root


def write_small_dataset(
    folder: Path, rows: list[tuple[str, str, int]], hints: list[str] | None = None, channels: int = 1
) -> Dataset:
    """Write and load a dataset version straight from (label, patient, seed of the picture)."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.stack([picture(seed, 16) for _, _, seed in rows])
    if channels == 3:
        images = np.stack([images, images[:, ::-1], images[:, :, ::-1]], axis=-1)
    np.save(folder / IMAGES, images)
    texts = {name: np.array([""] * len(rows)) for name in COLUMNS}
    table = {
        **texts,
        "label": np.array([label for label, _, _ in rows]),
        "patient": np.array([patient for _, patient, _ in rows]),
        "split_hint": np.array(hints or [""] * len(rows)),
        "pixel_sha256": np.array([f"sha256:{seed}" for _, _, seed in rows]),
        "rows": np.full(len(rows), 16),
        "columns": np.full(len(rows), 16),
        **image_statistics(images),
    }
    write_dataset(folder, table, size=16, facts={"name": "small"})
    return load_dataset(folder)


@pytest.fixture(scope="session")
def key() -> bytes:
    return KEY


@pytest.fixture(scope="session")
def make_folder() -> Callable[..., Path]:
    return write_folder


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    return write_small_dataset
