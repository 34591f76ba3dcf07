"""Random changes to whole batches, against torchvision's to each image, and their share of a training step.

Run: `.venv/bin/python benchmarks/bench_augment.py`. One thread each, interleaved, medians. Both start from uint8 images
in memory and end in a float32 batch in [0, 1]: ours from one packed array, the peer as a `Dataset` and its
`DataLoader` do in their process, image by image through `torchvision.transforms.v2`, from PIL images (what image
folders and MNIST give) and from tensors. Both changes are the same, with bilinear sampling.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import report
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode, v2

from imaging.config import AugmentConfig
from imaging.models import build_model
from imaging.training.augment import augment

RUNS = 5
LEAST_S = 0.3
"""Of one measurement."""
STEP_SHARE_TARGET = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The same changes, said to both."""

    name: str
    batch: int
    shape: tuple[int, ...]
    ours: AugmentConfig
    peer: v2.Compose
    target: float
    """Least ratio of the rates."""


def to_float() -> list[v2.Transform]:
    """Return what every pipeline of the peer ends with."""
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]


def affine(degrees: float, shift: float, scale: tuple[float, float]) -> v2.Transform:
    """Return the peer's rotation, shift and scale."""
    return v2.RandomAffine(
        degrees, translate=(shift, shift), scale=scale, interpolation=InterpolationMode.BILINEAR, fill=0
    )


def cases() -> list[Case]:
    """Return digits, small pictures and photographs as the recipes change them."""
    crop = v2.RandomResizedCrop(224, scale=(0.85, 1.0), ratio=(1.0, 1.0))
    photograph = [crop, affine(10, 0.05, (1.0, 1.0)), v2.RandomHorizontalFlip(), v2.ColorJitter(0.1, 0.1)]
    return [
        Case(
            name="32 px grey, affine",
            batch=256,
            shape=(32, 32),
            ours=AugmentConfig(rotation_degrees=8, shift=0.05, scale=(0.9, 1.1)),
            peer=v2.Compose([affine(8, 0.05, (0.9, 1.1)), *to_float()]),
            target=5.0,
        ),
        Case(
            name="32 px colour, padded crop, mirror",
            batch=128,
            shape=(32, 32, 3),
            ours=AugmentConfig(crop_padding=4, flip=True),
            peer=v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), *to_float()]),
            target=5.0,
        ),
        Case(
            name="224 px colour, crop, affine, mirror, tone",
            batch=32,
            shape=(224, 224, 3),
            ours=AugmentConfig(
                crop_area=(0.85, 1.0), rotation_degrees=10, shift=0.05, flip=True, brightness=0.1, contrast=0.1
            ),
            peer=v2.Compose([*photograph, *to_float()]),
            target=1.0,
        ),
    ]


def seconds(work: Callable[[], object]) -> float:
    """Return the mean wall time of a call, over at least `LEAST_S`."""
    start, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < LEAST_S:
        work()
        calls += 1
    return elapsed / calls


def interleaved(works: list[Callable[[], object]]) -> list[list[float]]:
    """Return the seconds of each work in each run, after one call to warm up."""
    for work in works:
        work()
    return [list(column) for column in zip(*([seconds(work) for work in works] for _ in range(RUNS)), strict=True)]


def compare(case: Case) -> list[dict[str, Any]]:
    """Measure one case against both kinds of the peer's images."""
    packed = np.random.default_rng(0).integers(0, 256, (case.batch, *case.shape), dtype=np.uint8)
    pictures = [Image.fromarray(image) for image in packed]
    images = torch.from_numpy(packed).view(case.batch, case.shape[0], case.shape[1], -1).permute(0, 3, 1, 2)
    tensors = list(images.contiguous().unbind(0))
    generator = torch.Generator().manual_seed(0)

    def ours() -> Tensor:
        return augment(images.float().div_(255), case.ours, generator)

    def peer(items: list[Any]) -> Callable[[], Tensor]:
        return lambda: torch.stack([case.peer(item) for item in items])

    rates = [[case.batch / took for took in runs] for runs in interleaved([ours, peer(pictures), peer(tensors)])]
    medians = [statistics.median(runs) for runs in rates]
    rows = []
    for kind, median in (("PIL", medians[1]), ("tensors", medians[2])):
        ratio = medians[0] / median
        rows.append(
            {
                "name": f"{case.name}; {kind}",
                "ours": round(medians[0]),
                "peer": round(median),
                "unit": "images/s",
                "ratio": round(ratio, 2),
                "runs": [round(run) for run in rates[0]],
                "target": case.target,
                "holds": ratio >= case.target,
            }
        )
    return rows


def share_of_a_step(batch: int = 256) -> dict[str, Any]:
    """Measure the changes to digits as a share of LeNet-5's whole training step, them included."""
    config = cases()[0].ours
    model = build_model("lenet5", num_classes=10, channels=1, size=32).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    images, labels = torch.rand(batch, 1, 32, 32), torch.arange(batch) % 10
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    changes, steps = interleaved([lambda: augment(images, config, generator), step])
    shares = [100 * change / (change + rest) for change, rest in zip(changes, steps, strict=True)]
    share = statistics.median(shares)
    return {
        "name": f"share of a LeNet-5 step, batch {batch}",
        "ours": round(share, 1),
        "peer": None,
        "unit": "%, lower is better",
        "ratio": round(STEP_SHARE_TARGET / share, 2),
        "runs": [round(run, 1) for run in shares],
        "target": STEP_SHARE_TARGET,
        "holds": share <= STEP_SHARE_TARGET,
    }


def main() -> None:
    """Measure, print a table and write the result."""
    torch.set_num_threads(1)
    report("augment", [*(row for case in cases() for row in compare(case)), share_of_a_step()])


if __name__ == "__main__":
    main()
