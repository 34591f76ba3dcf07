"""The engine on MNIST with LeNet-5, against the loop that everybody writes; and the accuracy of the MNIST recipes.

Run: `.venv/bin/python benchmarks/bench_training.py [--quick] [--threads N]`; the idx files are read from
`$THORAX_DATA/mnist`. Both sides have a process of their own, the same threads and the same real digits, and take
turns. The peer is `plain_mnist.py`. Time to an accuracy is of training and testing, epoch by epoch, with the data
ready on both sides. The peer goes all the way once; how many epochs its other seeds need is counted by giving our
engine its settings (Adam at a constant 1e-3, batches of 64, images resized), and its seconds follow from its own
seconds an epoch. No setting was chosen by the test images: see `imaging/recipes/mnist.py`.
"""

import argparse
import gzip
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import report
from rich.console import Console
from torch import nn

from imaging.config import TrainConfig
from imaging.data.layouts.mnist import idx_array
from imaging.models import build_model
from imaging.recipes import changed_recipe, get_recipe
from imaging.training import EpochResult, PackedImages, TrainingData, TrainingRun, train

DATA = Path(os.environ.get("THORAX_DATA", "../shared/data")) / "mnist"
FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
SEEDS = (0, 1, 2)
ROUNDS = 3
PLAIN_BATCHES = 200
EPOCH_TARGET, TIME_TARGET, ACCURACY = 4.5, 7.0, 0.9843
EPOCH_CASES = {
    ("lenet5_mnist_quick", 256): EPOCH_TARGET,
    ("lenet5_mnist_quick", 64): None,
    ("lenet5_mnist", 64): None,
}
"""Recipes and batch sizes: a recipe's own, the peer's, and the peer's with augmentation."""
MOST_EPOCHS = 10
RECIPES = {"lenet5_mnist": 99.0, "lenet5_mnist_28": 98.9, "cnn_mnist": 99.3}
PLAIN_SETTINGS = {
    "stages.0.optimizer": "adam",
    "stages.0.schedule": "constant",
    "stages.0.warmup": 0.0,
    "stages.0.lr": 1e-3,
    "stages.0.weight_decay": 0.0,
    "stages.0.augment": False,
    "stages.0.epochs": MOST_EPOCHS,
    "input.fit": "resize",
    "input.mean": [0.5],
    "input.std": [0.5],
    "batch_size": 64,
    "ema_decay": 0.0,
    "label_smoothing": 0.0,
}
progress = Console(stderr=True)
Row = dict[str, Any]


class Engine:
    """Our side: the real digits, and what is asked of the engine."""

    def __init__(self, root: Path) -> None:
        arrays = [(root / f"{name}-ubyte").read_bytes() for name in FILES]
        self.images, self.test_images = (idx_array(arrays[place], dimensions=3) for place in (0, 2))
        labels = [idx_array(arrays[place], dimensions=1).astype(np.int64) for place in (1, 3)]
        self.labels, self.test_labels = map(torch.from_numpy, labels)

    def run(self, config: TrainConfig, *, beginning: nn.Module | None = None) -> Iterator[EpochResult]:
        """Train on all 60,000 images, with the test images in the place of the validation part.

        Args:
            config: The recipe.
            beginning: A network of the same weights in the same order, which gives the first values.
        """
        torch.manual_seed(config.seed)
        size = config.input.size
        model = build_model(config.architecture, num_classes=10, channels=1, size=size, dropout=config.dropout)
        if beginning is not None:
            model.load_state_dict(dict(zip(model.state_dict(), beginning.state_dict().values(), strict=True)))
        data = TrainingData(
            classes=tuple("0123456789"),
            train_images=PackedImages.of(self.images),
            train_labels=self.labels,
            val_images=PackedImages.of(self.test_images),
            val_labels=self.test_labels,
        )
        # nothing is chosen by the test images: no early end, and what is reported is the last epoch
        config = config.replace(patience=1000)
        return train(TrainingRun(model=model, config=config, stages=config.stages, data=data))

    def epoch_seconds(self, recipe: str, batch: int) -> float:
        """Time the second epoch of a recipe in batches of so many images, testing apart."""
        epochs = self.run(get_recipe(recipe).replace(batch_size=batch))
        next(epochs)
        return len(self.labels) / next(epochs).images_per_s

    def seconds_to(self, recipe: str, seed: int) -> tuple[float, list[float]]:
        """Train until an epoch ends at the accuracy; return the seconds, and each epoch's accuracy."""
        started, reached = time.perf_counter(), []
        for result in self.run(get_recipe(recipe).replace(seed=seed)):
            reached.append(result.val_accuracy)
            if reached[-1] >= ACCURACY:
                break
        return time.perf_counter() - started, reached

    def plain_epochs(self, seed: int) -> int:
        """Count the epochs that the peer's settings need to the accuracy."""
        from plain_mnist import lenet5

        torch.manual_seed(seed)
        config = changed_recipe("lenet5_mnist", PLAIN_SETTINGS).replace(seed=seed)
        for result in self.run(config, beginning=lenet5()):
            if result.val_accuracy >= ACCURACY:
                return result.epoch
        return MOST_EPOCHS

    def last_accuracy(self, recipe: str, seed: int) -> tuple[float, float]:
        """Train a recipe to its end; return the share of test images that are right then, and the seconds."""
        started = time.perf_counter()
        *_, last = self.run(get_recipe(recipe).replace(seed=seed))
        return last.val_accuracy, time.perf_counter() - started


class Plain:
    """The peer's side."""

    def __init__(self, root: Path) -> None:
        from plain_mnist import PlainLoop

        self._loop: Callable[..., Any] = lambda seed: PlainLoop(root.parents[1], seed=seed)
        self._timed = self._loop(0)

    def epoch_seconds(self) -> float:
        """Time some batches of an epoch; return what all 60,000 images would take."""
        started = time.perf_counter()
        seen = self._timed.train(PLAIN_BATCHES)
        return (time.perf_counter() - started) / seen * 60_000

    def seconds_to(self, seed: int) -> tuple[float, list[float]]:
        """Train until an epoch ends at the accuracy; return the seconds, and each epoch's accuracy."""
        return self._loop(seed).seconds_to(ACCURACY, most_epochs=MOST_EPOCHS)


def serve(side: type[Engine] | type[Plain], root: Path, threads: int, pipe: Connection) -> None:
    """Answer what is asked, one question at a time, until nothing more is."""
    torch.set_num_threads(threads)
    owner = side(root)
    while (question := pipe.recv()) is not None:
        name, arguments = question
        pipe.send(getattr(owner, name)(*arguments))


@contextmanager
def asked(side: type[Engine] | type[Plain], root: Path, threads: int) -> Iterator[Callable[..., Any]]:
    """Start a side in its own process; give what asks it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(side, root, threads, there), daemon=True)
    process.start()
    there.close()

    def ask(name: str, *arguments: object) -> Any:
        here.send((name, arguments))
        answer = here.recv()
        progress.print(f"{side.__name__}.{name}{arguments}: {answer}")
        return answer

    try:
        yield ask
    finally:
        here.send(None)
        process.join(timeout=30)


def epoch_rows(ours: Callable[..., Any], plain: Callable[..., Any]) -> tuple[list[Row], float]:
    """Compare seconds an epoch; return the rows and the peer's median."""
    peer: list[float] = []
    runs: dict[tuple[str, int], list[float]] = {case: [] for case in EPOCH_CASES}
    for _ in range(ROUNDS):
        peer.append(plain("epoch_seconds"))
        for case, seconds in runs.items():
            seconds.append(ours("epoch_seconds", *case))
    plain_s = statistics.median(peer)
    says = f"an epoch (peer: {PLAIN_BATCHES} batches of 64, scaled up)"
    return [
        _row(f"{recipe}, batches of {batch}: {says}", statistics.median(seconds), plain_s, seconds, EPOCH_CASES[case])
        for case, seconds in runs.items()
        for recipe, batch in (case,)
    ], plain_s


def time_rows(ours: Callable[..., Any], plain: Callable[..., Any], *, epoch_s: float, quick: bool) -> list[Row]:
    """Compare the time to the accuracy."""
    runs = [ours("seconds_to", "lenet5_mnist_quick", seed) for seed in SEEDS]
    mine = statistics.median(seconds for seconds, _ in runs)
    counted = [ours("plain_epochs", seed) for seed in SEEDS[1:]]
    if quick:
        counted.append(ours("plain_epochs", SEEDS[0]))
        seconds, says = [epochs * epoch_s for epochs in counted], "peer: epochs counted x its seconds an epoch"
    else:
        first, reached = plain("seconds_to", SEEDS[0])
        seconds = [first, *(epochs * first / len(reached) for epochs in counted)]
        says = f"peer: 1 run of {len(reached)} epochs, 2 counted"
    reached_all = all(accuracies[-1] >= ACCURACY for _, accuracies in runs)
    row = _row(
        f"to {ACCURACY:.2%} on test; {says}", mine, statistics.median(seconds), [s for s, _ in runs], TIME_TARGET
    )
    return [row | {"holds": row["holds"] and reached_all}]


def accuracy_rows(ours: Callable[..., Any]) -> list[Row]:
    """Train every recipe with every seed on all 60,000 images, and test each network once."""
    rows = []
    for recipe, target in RECIPES.items():
        runs = [ours("last_accuracy", recipe, seed) for seed in SEEDS]
        accuracies = [100 * accuracy for accuracy, _ in runs]
        mean, seconds = statistics.mean(accuracies), statistics.median(seconds for _, seconds in runs)
        epochs, spread = get_recipe(recipe).stages[0].epochs, statistics.stdev(accuracies)
        said = f"{epochs} epochs, {seconds:.0f} s; test accuracy, {len(SEEDS)} seeds, std {spread:.2f}"
        rows.append(
            {
                "name": f"{recipe}: {said}",
                "ours": round(mean, 2),
                "peer": None,
                "unit": "%",
                "ratio": round(mean / target, 4),
                "runs": [round(accuracy, 2) for accuracy in accuracies],
                "target": target,
                "holds": mean >= target,
            }
        )
    return rows


def _row(name: str, ours: float, peer: float, runs: list[float], target: float | None) -> Row:
    return {
        "name": name,
        "ours": round(ours, 2),
        "peer": round(peer, 1),
        "unit": "s",
        "ratio": round(peer / ours, 2),
        "runs": [round(run, 2) for run in runs],
        "target": target,
        "holds": None if target is None else peer / ours >= target,
    }


@contextmanager
def unpacked() -> Iterator[Path]:
    """Unpack the idx files to where torchvision looks for them."""
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in FILES:
            (raw / f"{name}-ubyte").write_bytes(gzip.decompress((DATA / f"{name}-ubyte.gz").read_bytes()))
        yield raw


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no full run of the peer, no accuracy of the recipes")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each side")
    options = parser.parse_args()
    with unpacked() as raw, asked(Engine, raw, options.threads) as ours, asked(Plain, raw, options.threads) as plain:
        rows, epoch_s = epoch_rows(ours, plain)
        rows += time_rows(ours, plain, epoch_s=epoch_s, quick=options.quick)
        rows += [] if options.quick else accuracy_rows(ours)
    report("training", rows)


if __name__ == "__main__":
    main()
