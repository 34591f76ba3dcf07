"""The smallest real things training needs: bright blobs to tell apart, a file of weights, a dataset on disk."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from imaging.config import AugmentConfig, InputConfig, Stage, TrainConfig
from imaging.data.dataset import COLUMNS, IMAGES, write_dataset
from imaging.data.splits import PARTS, Split
from imaging.data.statistics import STATISTICS, image_statistics
from imaging.models import build_model
from imaging.training import PackedImages, TrainingData

CLASSES = ("covid", "normal", "pneumonia")
SIZE = 32
CORNERS = ((4, 4), (4, 18), (18, 4))


def blobs(count: int, *, seed: int = 0, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright square whose corner is the class: images (N, S, S) uint8 and labels (N,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = random.integers(40, 90, (count, size, size)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = CORNERS[label]
        image[y : y + 10, x : x + 10] += 140
    return images, labels.astype(np.int64)


def training_data(count: int = 24) -> TrainingData:
    images, labels = blobs(count)
    val_images, val_labels = blobs(count // 2, seed=1)
    return TrainingData(
        classes=CLASSES,
        train_images=PackedImages.of(images),
        train_labels=torch.from_numpy(labels),
        val_images=PackedImages.of(val_images),
        val_labels=torch.from_numpy(val_labels),
    )


def two_stages(**changes: object) -> TrainConfig:
    """A head stage on kept features, and a stage of the last blocks with augmentation."""
    config = TrainConfig(
        name="tiny",
        architecture="mobilenet_v2",
        input=InputConfig(size=SIZE),
        stages=(
            Stage(name="head", epochs=2, trainable="head", lr=1e-2, augment=False),
            Stage(name="last", epochs=2, trainable="last", lr=1e-3, backbone_lr=1e-3, schedule="one_cycle"),
        ),
        augment=AugmentConfig(rotation_degrees=5, shift=0.05, contrast=0.1, brightness=0.1),
        batch_size=8,
    )
    return config.replace(**changes)


def living_network(architecture: str = "mobilenet_v2", *, classes: int = 3) -> nn.Module:
    """A random network whose batch norms have seen images: without that, deep features fade to nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = build_model(architecture, num_classes=classes).train()
        norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            model(torch.randn(16, 3, 64, 64))
        for norm in norms:
            norm.momentum = 0.1
    return model.eval()


def weights_file(folder: Path, architecture: str = "mobilenet_v2") -> Path:
    """A file of weights for a backbone: it stands for ImageNet's, so that freezing makes sense."""
    path = folder / f"{architecture}_stand_in.safetensors"
    state = living_network(architecture, classes=5).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def dataset_on_disk(folder: Path, count: int = 48) -> tuple[Path, Path]:
    """Write a dataset version and a split of it; return both paths."""
    images, labels = blobs(count)
    version = folder / "version"
    version.mkdir(parents=True)
    np.save(version / IMAGES, images)
    table = {name: np.full(count, "") for name in COLUMNS}
    table |= {"label": np.array(CLASSES)[labels], "patient": np.array([f"{i:016x}" for i in range(count)])}
    table |= {"rows": np.full(count, 64), "columns": np.full(count, 64)}
    table |= {"pixel_sha256": np.array([f"{i:064x}" for i in range(count)])}
    table |= {name: image_statistics(images)[name] for name in STATISTICS}
    digest = write_dataset(version, table, size=SIZE, facts={})
    part = np.arange(count) // 3 % len(PARTS)
    split = Split(parts={name: np.flatnonzero(part == i) for i, name in enumerate(PARTS)}, dataset_digest=digest)
    split.save(folder / "split.json")
    return version, folder / "split.json"
