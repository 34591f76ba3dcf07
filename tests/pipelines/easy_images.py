"""Pictures that any network can learn to tell apart, with enough patients for every gate."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("covid", "normal", "pneumonia")
LEARNING = {
    "architecture": "small_cnn",
    "stages": [{"name": "all", "epochs": 10, "trainable": "all", "lr": 0.001, "augment": False}],
    "batch_size": 8,
    "dropout": 0.0,
}
"""Changes to the smoke recipe under which it learns them, turned, cropped and darkened ones too, whatever the seed."""


def write_easy_images(folder: Path, *, patients: int = 120, seed: int = 0) -> Path:
    """Write one noisy 64 x 64 PNG a patient, its class told by which third is bright, and `labels.csv`."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for number in range(patients * len(CLASSES)):
        kind = number % len(CLASSES)
        pixels = random.normal(70, 15, (64, 64))
        pixels[kind * 21 : kind * 21 + 21] += 110
        name = f"{number}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        rows.append([name, CLASSES[kind], f"p{number}", ("PA", "AP")[number % 2], ("F", "M")[number // 2 % 2], 50])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "patient_id", "view", "sex", "age"], *rows])
    return folder
