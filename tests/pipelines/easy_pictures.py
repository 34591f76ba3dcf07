"""Data of every kind that any network learns in seconds: digits in MNIST's files, colour folders, two-class X-rays."""

import colorsys
import csv
import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
"""The strokes of each digit on a display of seven."""
STROKES = {
    "a": (slice(4, 7), slice(8, 20)),
    "b": (slice(4, 15), slice(17, 20)),
    "c": (slice(13, 24), slice(17, 20)),
    "d": (slice(21, 24), slice(8, 20)),
    "e": (slice(13, 24), slice(8, 11)),
    "f": (slice(4, 15), slice(8, 11)),
    "g": (slice(12, 15), slice(8, 20)),
}


def write_digits(folder: Path, *, train: int = 80, test: int = 32, seed: int = 0) -> Path:
    """Write noisy digits as the four files of MNIST, so many a digit."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name, count in (("train", 10 * train), ("t10k", 10 * test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = random.normal(20, 12, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            shift = tuple(random.integers(-1, 2, 2))
            for stroke in SEGMENTS[label]:
                drawn = np.zeros((28, 28))
                drawn[STROKES[stroke]] = 190
                np.maximum(image, np.roll(drawn, shift, (0, 1)), out=image)
        _write_idx(folder / f"{name}-images-idx3-ubyte.gz", images.clip(0, 255).astype(np.uint8))
        _write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels)
    return folder


def write_colours(folder: Path, *, per_class: int = 130, size: int = 40, seed: int = 0) -> Path:
    """Write folders of noisy pictures that differ in the colour of their middle."""
    random = np.random.default_rng(seed)
    for hue, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.normal(90, 25, (size, size, 3))
            pixels[size // 4 : -size // 4, size // 4 : -size // 4] += 90 * np.array(colorsys.hsv_to_rgb(hue / 3, 1, 1))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def write_two_classes(folder: Path, *, patients: int = 130, seed: int = 0) -> Path:
    """Write grey 64 x 64 PNGs, one a patient, `pneumonia` told by a bright lower half, and `labels.csv`."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for number in range(2 * patients):
        pixels = random.normal(70, 15, (64, 64))
        pixels[32 * (number % 2) : 32 * (number % 2) + 32] += 60
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append([f"{number}.png", ("normal", "pneumonia")[number % 2], f"p{number}", ("F", "M")[number // 2 % 2]])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "patient_id", "sex"], *rows])
    return folder


def _write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes(), compresslevel=1))
