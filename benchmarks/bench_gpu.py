"""ResNet-50 at 224 px on one GPU: our training epochs against the same step on one fixed batch, and a plain loop.

Run: `.venv/bin/python benchmarks/bench_gpu.py [--images N] [--tiny]`. Without a GPU nothing is measured, and the result
says so; `--tiny` runs every line on a CPU with a few small images, to see that it works, and writes nothing.

`ours` is the rate of whole training epochs of the engine (bfloat16, channels-last, augmentation and validation data
on the device) from a packed dataset of that many images; `synthetic` repeats the same step on one batch that lies on
the device and is never changed: no engine can be faster. `plain` is the loop of torchvision's reference scripts:
`DataLoader` with workers, transforms image by image from JPEG bytes, automatic mixed precision. Interleaved; medians.
"""

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import report
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from imaging.config import IMAGENET_MEAN, IMAGENET_STD, AugmentConfig, InputConfig, Stage, TrainConfig
from imaging.models import build_model
from imaging.training import PackedImages, TrainingData, TrainingRun, train
from imaging.training.numerics import algorithms, autocast

RUNS = 3
EPOCHS = 2
"""Of each of our runs; the second is counted, for the first one warms up."""
SHARE_TARGET, RATE_TARGET = 0.95, 3700.0
progress = Console(stderr=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much is measured."""

    device: torch.device
    images: int
    batch: int
    side: int
    compile: str


class Pictures(Dataset[tuple[Tensor, int]]):
    """JPEG bytes in memory, decoded and changed one at a time, as an image folder is."""

    def __init__(self, scale: Scale) -> None:
        random = np.random.default_rng(0)
        self.files = []
        for _ in range(min(64, scale.images)):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (scale.side + 32,) * 2 + (3,), dtype=np.uint8)).save(file, "jpeg")
            self.files.append(file.getvalue())
        self.count = scale.images
        self.change = v2.Compose(
            [
                v2.RandomResizedCrop(scale.side),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.change(Image.open(io.BytesIO(self.files[place % len(self.files)]))), place % 10


def recipe(scale: Scale, seed: int) -> TrainConfig:
    """Return what the engine trains."""
    stage = Stage(name="everything", epochs=EPOCHS, trainable="all", lr=0.1, optimizer="sgd", weight_decay=1e-4)
    return TrainConfig(
        name="bench",
        architecture="resnet50",
        subject="picture",
        input=InputConfig(size=scale.side),
        stages=(stage,),
        augment=AugmentConfig(crop_area=(0.3, 1.0), flip=True),
        batch_size=scale.batch,
        pretrained=False,
        class_weights=False,
        compile=scale.compile,
        seed=seed,
    )


def network(scale: Scale) -> nn.Module:
    """Return a ResNet-50 with random weights, on the device."""
    model = build_model("resnet50", num_classes=10, size=scale.side)
    return model.to(scale.device).to(memory_format=torch.channels_last)


def ours(scale: Scale, data: TrainingData, seed: int) -> float:
    """Return the images a second of the engine's last epoch, validation apart."""
    config = recipe(scale, seed)
    run = TrainingRun(model=network(scale), config=config, stages=config.stages, data=data, device=scale.device)
    return list(train(run))[-1].images_per_s


def steps(scale: Scale, batches: Callable[[], Any], count: int) -> float:
    """Return the images a second of plain steps on what `batches` gives, after a warm-up of three."""
    config, model = recipe(scale, 0), network(scale)
    learner = torch.compile(model, mode=config.compile, dynamic=False) if config.compile != "none" else model
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    started, done = 0.0, 0
    with algorithms(scale.device, config):
        for step, (images, labels) in enumerate(batches()):
            if step == 3:
                wait(scale)
                started = time.perf_counter()
            if step == count + 3:
                break
            images = images.to(scale.device, non_blocking=True, memory_format=torch.channels_last)
            labels = labels.to(scale.device, non_blocking=True)
            with autocast(scale.device, config):
                loss = functional.cross_entropy(learner(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += len(labels) if step >= 3 else 0
        wait(scale)
    return done / (time.perf_counter() - started)


def wait(scale: Scale) -> None:
    """Wait until the device has done what it was given."""
    if scale.device.type == "cuda":
        torch.cuda.synchronize(scale.device)


def synthetic(scale: Scale, count: int) -> float:
    """Return the rate on one batch that lies on the device."""
    shape = (scale.batch, 3, scale.side, scale.side)
    batch = torch.randn(shape, device=scale.device).to(memory_format=torch.channels_last)
    labels = torch.arange(scale.batch, device=scale.device) % 10
    return steps(scale, lambda: iter(lambda: (batch, labels), None), count)


def plain(scale: Scale, count: int) -> float:
    """Return the rate of the reference scripts' loop."""
    pictures = Pictures(scale)
    workers = 0 if scale.device.type == "cpu" else min(16, os.cpu_count() or 1)
    loader = DataLoader(pictures, batch_size=scale.batch, shuffle=True, num_workers=workers, pin_memory=workers > 0)
    return steps(scale, lambda: (batch for _ in range(1000) for batch in loader), count)


def packed(scale: Scale) -> TrainingData:
    """Return random packed images, as a dataset version holds them."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (scale.images, scale.side, scale.side, 3), dtype=np.uint8)
    labels = torch.arange(scale.images) % 10
    few = PackedImages(array=images, rows=np.arange(min(64, scale.images)))
    return TrainingData(
        classes=tuple("abcdefghij"),
        train_images=PackedImages.of(images),
        train_labels=labels,
        val_images=few,
        val_labels=labels[: len(few)],
    )


def row(name: str, rates: list[float], peer: list[float] | None, *, target: float | None) -> dict[str, Any]:
    """Return a row of the report: medians, and whether the target holds; nothing where nothing was measured."""
    mine = statistics.median(rates) if rates else None
    theirs = statistics.median(peer) if peer else None
    ratio = mine / theirs if mine and theirs else None
    reached = ratio if peer is not None else mine
    return {
        "name": name,
        "ours": mine and round(mine),
        "peer": theirs and round(theirs),
        "unit": "images/s" if rates else "not measured on this machine: it has no GPU",
        "ratio": ratio and round(ratio, 3),
        "runs": [round(rate) for rate in rates],
        "target": target,
        "holds": None if target is None or reached is None else reached >= target,
    }


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Measure training on a GPU.")
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--tiny", action="store_true", help="a few small images on a CPU; nothing is written")
    chosen = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if has_gpu and not chosen.tiny else torch.device("cpu")
    scale = Scale(device=device, images=chosen.images, batch=256, side=224, compile="default")
    if chosen.tiny:
        scale = Scale(device=device, images=24, batch=8, side=32, compile="none")
    mine: list[float] = []
    fixed: list[float] = []
    loop: list[float] = []
    if has_gpu or chosen.tiny:
        data, count = packed(scale), max(2, min(60, scale.images // scale.batch))
        for run in range(RUNS):
            mine.append(ours(scale, data, run))
            fixed.append(synthetic(scale, count))
            loop.append(plain(scale, count))
            progress.print(
                f"run {run + 1}: ours {mine[-1]:.0f}, synthetic {fixed[-1]:.0f}, plain {loop[-1]:.0f} images/s"
            )
    rows = [
        row("ResNet-50, 224 px, bf16: the engine against one fixed batch", mine, fixed, target=SHARE_TARGET),
        row("the same, images a second", mine, None, target=RATE_TARGET),
        row("the same against torchvision's reference loop", mine, loop, target=None),
    ]
    if not chosen.tiny:
        report("gpu", rows, gpu=torch.cuda.get_device_name(0) if has_gpu else None)


if __name__ == "__main__":
    main()
