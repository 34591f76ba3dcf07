"""Recipes on small sets of real images: accuracy with intervals, and what kept features save a head stage.

Run: `.venv/bin/python benchmarks/bench_transfer.py [--only NAME]…`; real images and weights from `THORAX_DATA`.

A recipe's row is the mean over its seeds on the set's own test part, against a linear head on frozen features fitted to
the same pictures in the same run; the target is what such a head reached on other pictures of the kind. Where the test
part is too small to tell that target from its neighbours, the target is held to cross-validation over all pictures:
each is tested once, by a model that never saw it. The rows of kept views train a recipe's own head stage twice for each
seed, once with its augmented views of every image kept behind the frozen backbone, once through the backbone in every
epoch, interleaved; the ratio is of the medians of wall time, and the accuracies must not differ by more than the seeds.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from linear_head import linear_head
from report import RESULTS, report
from rich.console import Console

from imaging.config import TrainConfig
from imaging.data.dataset import Dataset, load_dataset
from imaging.data.folds import k_fold_splits
from imaging.data.ingest import ingest
from imaging.data.splits import Split, split_on_disk
from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.metrics import accuracy, auroc_per_class, balanced_accuracy
from imaging.inference import Predictor
from imaging.recipes import get_recipe
from imaging.settings import Settings
from imaging.training import train_on_disk

SEEDS = (0, 1, 2)
DATA = Path(os.environ.get("THORAX_DATA", "../shared/data"))
IMAGENET = "mobilenet_v2_imagenet1k_dequant.pt"
CACHE_TARGET = 5.0
progress = Console(stderr=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One set of images, and the recipe for it."""

    recipe: str
    source: str
    size: int
    metric: str = "accuracy"
    labels: str | None = None
    target: float | None = None
    """What a linear head on frozen features reached on other images of the kind."""
    seeds: tuple[int, ...] = SEEDS
    folds: int = 0
    """Of a cross-validation over the whole set; the target is then for it."""


CASES = (
    Case(recipe="mobilenetv2_flowers", source="flowers", size=320, target=0.865),
    Case(recipe="mobilenetv2_catsdogs", source="catsdogs", size=224, target=0.985, folds=4),
    Case(
        recipe="mobilenetv2_xray3",
        source="xray3",
        size=224,
        metric="balanced accuracy",
        labels="manifest.csv",
        target=0.83,
    ),
    Case(recipe="folder_cnn", source="flowers", size=128, seeds=SEEDS[:1]),
    Case(recipe="cnn_cifar10", source="cifar10", size=32, seeds=SEEDS[:1]),
    Case(recipe="resnet20_cifar10", source="cifar10", size=32, seeds=SEEDS[:1]),
    Case(recipe="resnet56_cifar10", source="cifar10", size=32, seeds=SEEDS[:1]),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One seed's result on the test part."""

    seconds: float
    figure: float
    text: str


def main() -> None:
    """Measure what was asked for, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Measure transfer recipes on real images.")
    parser.add_argument("--only", action="append", default=[], help="a recipe's name, or `views`; may be repeated")
    only = set(parser.parse_args().only)
    if not DATA.is_dir():
        progress.print(f"SKIPPED: no images at {DATA} (set THORAX_DATA)")
        return
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for case in CASES if not only or case.recipe in only for row in measure(case, Path(scratch))]
        if not only or "views" in only:
            rows += kept_views(Path(scratch))
    report("transfer", rows + (not_asked(rows) if only else []))


def not_asked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the last result that `--only` did not measure again."""
    path = RESULTS / "transfer.json"
    before = json.loads(path.read_text())["rows"] if path.is_file() else []
    measured = {subject(row) for row in rows}
    return [row for row in before if subject(row) not in measured]


def subject(row: dict[str, Any]) -> str:
    """Return what a row is about: a recipe, or the kept views."""
    name = row["name"].partition(":")[0]
    return name if name in {case.recipe for case in CASES} else "views"


def prepare(case: Case, scratch: Path) -> tuple[Path, Path]:
    """Pack the images and take the set's own split; return both paths."""
    config, source = get_recipe(case.recipe), DATA / case.source
    made = ingest(
        str(next(source.glob("*.zip"), source)),
        scratch / "datasets",
        labels=None if case.labels is None else source / case.labels,
        name=case.source,
        size=case.size,
        subject=config.subject,
        pseudonym_key=b"benchmark",
    )
    split = scratch / f"{case.source}.json"
    split_on_disk(made.path, split, keep_hints=True)
    return made.path, split


def train_and_test(config: TrainConfig, version: Path, split: Path, scratch: Path, metric: str) -> Trained:
    """Train once and measure the test part."""
    settings = Settings(home=scratch / "home", weights=DATA / "weights")
    started = time.perf_counter()
    train_on_disk(config, version, split, scratch / "model", settings=settings)
    seconds = time.perf_counter() - started
    dataset, test = load_dataset(version), Split.load(split).parts["test"]
    probabilities = Predictor.load(scratch / "model").probabilities(dataset.images[test])
    return Trained(seconds=seconds, **figures(dataset, test, probabilities, metric))


def figures(dataset: Dataset, test: np.ndarray, probabilities: np.ndarray, metric: str) -> dict[str, Any]:
    """Return the figure that counts, and a text with its interval and the AUROC of each class."""
    labels = dataset.labels[test]
    measure_of = balanced_accuracy if metric == "balanced accuracy" else accuracy

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        areas = auroc_per_class(probabilities, labels, weights)
        found = {name: areas[:, index] for index, name in enumerate(dataset.classes)}
        return {metric: measure_of(probabilities, labels, weights), **found}

    found = intervals(statistic, dataset.patients[test])
    named = [metric, *dataset.classes] if len(dataset.classes) <= 3 else [metric]
    texts = [f"{name} {found[name].value:.3f} [{found[name].low:.3f}, {found[name].high:.3f}]" for name in named]
    return {"figure": found[metric].value, "text": ", ".join(texts)}


def measure(case: Case, scratch: Path) -> list[dict[str, Any]]:
    """Train a recipe with every seed and sum its test figures up; then cross-validate it where the case asks for it."""
    version, split = prepare(case, scratch)
    results = []
    for seed in case.seeds:
        config = get_recipe(case.recipe).replace(seed=seed)
        results.append(train_and_test(config, version, split, scratch, case.metric))
        progress.print(f"{case.recipe} seed {seed}: {results[-1].text}; {results[-1].seconds:.0f} s")
    seconds = statistics.median(result.seconds for result in results)
    peer = None if case.target is None else peer_figure(case, version, split)
    row = summed_up(
        case,
        [result.figure for result in results],
        peer,
        target=None if case.folds else case.target,
        says=f"seeds: {len(results)}, {seconds:.0f} s each",
        unit=f"{case.metric} of the test part; seed 0: {results[0].text}",
    )
    return [row, *([cross_validated(case, version, scratch)] if case.folds else [])]


def summed_up(
    case: Case, runs: list[float], peer: float | None, *, target: float | None, says: str, unit: str
) -> dict[str, Any]:
    """Return a row: the mean of the runs beside the peer and the target."""
    mean = statistics.mean(runs)
    spread = f" +- {statistics.stdev(runs):.3f}" if len(runs) > 1 else ""
    return {
        "name": f"{case.recipe}: {case.metric}{spread}, {says}",
        "ours": round(mean, 4),
        "peer": peer,
        "unit": unit,
        "ratio": None if peer is None else round(mean / peer, 3),
        "runs": [round(run, 4) for run in runs],
        "target": target,
        "holds": None if target is None else mean >= target and (peer is None or mean >= peer),
    }


def cross_validated(case: Case, version: Path, scratch: Path) -> dict[str, Any]:
    """Test every picture once by a recipe and once by a linear head that never saw it; other folds for each seed."""
    dataset, runs, peers = load_dataset(version), [], []
    for seed in case.seeds:
        ours, theirs = (np.zeros((len(dataset), len(dataset.classes))) for _ in range(2))
        config = get_recipe(case.recipe).replace(seed=seed)
        for split in k_fold_splits(dataset, folds=case.folds, seed=seed, calibration_share=0.0):
            split.save(scratch / "fold.json")
            tested = split.parts["test"]
            settings = Settings(home=scratch / "home", weights=DATA / "weights")
            train_on_disk(config, version, scratch / "fold.json", scratch / "model", settings=settings)
            ours[tested] = Predictor.load(scratch / "model").probabilities(dataset.images, tested)
            parts = {name: split.parts[name] for name in ("train", "val", "test")}
            theirs[tested] = linear_head(dataset.images, dataset.labels, parts, DATA / "weights" / IMAGENET)[0]
        everything = np.arange(len(dataset))
        for found, probabilities in ((runs, ours), (peers, theirs)):
            found.append(figures(dataset, everything, probabilities, case.metric)["figure"])
        progress.print(f"{case.recipe}, {case.folds} folds, seed {seed}: {runs[-1]:.4f}, linear head {peers[-1]:.4f}")
    return summed_up(
        case,
        runs,
        round(statistics.mean(peers), 4),
        target=case.target,
        says=f"{case.folds} folds over all {len(dataset)}, seeds: {len(runs)}",
        unit=f"{case.metric} of pictures that the model of their fold never saw",
    )


def peer_figure(case: Case, version: Path, split: Path) -> float:
    """Fit a linear head on frozen features and return its figure on the same test part."""
    dataset, parts = load_dataset(version), Split.load(split).parts
    fitted = {name: parts[name] for name in ("train", "val", "test")}
    probabilities, _ = linear_head(dataset.images, dataset.labels, fitted, DATA / "weights" / IMAGENET)
    found = figures(dataset, parts["test"], probabilities, case.metric)
    progress.print(f"linear head on {case.source}: {found['text']}")
    return round(found["figure"], 4)


def kept_views(scratch: Path) -> list[dict[str, Any]]:
    """Compare a recipe's head stage, on kept views, with one that runs the backbone in every epoch."""
    case = CASES[1]
    version, split = prepare(case, scratch)
    head = get_recipe(case.recipe).stages[0]
    kept, every = [], []
    for seed in SEEDS:
        for results, views in ((kept, head.views), (every, 0)):
            config = get_recipe(case.recipe).replace(seed=seed, patience=head.epochs)
            config = config.replace(stages=(head.model_copy(update={"views": views}).model_dump(),))
            results.append(train_and_test(config, version, split, scratch, case.metric))
            progress.print(f"head of {case.recipe}, {views} views, seed {seed}: {results[-1]}")
    ours, peer = (statistics.median(result.seconds for result in results) for results in (kept, every))
    means = [statistics.mean(result.figure for result in results) for results in (kept, every)]
    noise = max(statistics.stdev(result.figure for result in results) for results in (kept, every))
    return [
        {
            "name": f"head stage of {case.recipe}, {head.epochs} epochs: {head.views} kept views against the backbone "
            "in every epoch",
            "ours": round(ours, 1),
            "peer": round(peer, 1),
            "unit": "s, validation and start included",
            "ratio": round(peer / ours, 2),
            "runs": [round(result.seconds, 1) for result in kept],
            "target": CACHE_TARGET,
            "holds": peer / ours >= CACHE_TARGET,
        },
        {
            "name": f"the same: test accuracy, within twice the seeds' deviation ({noise:.3f})",
            "ours": round(means[0], 4),
            "peer": round(means[1], 4),
            "unit": "accuracy",
            "ratio": round(means[0] / means[1], 3),
            "runs": [round(result.figure, 4) for result in kept],
            "target": None,
            "holds": abs(means[0] - means[1]) <= 2 * noise,
        },
    ]


if __name__ == "__main__":
    main()
