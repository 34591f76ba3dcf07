"""One training run on this machine: images to a dataset version, a split, a model, its calibration and test figures.

What the steps of the training pipeline do, by the same library functions, in one process and without gates or registry.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imaging.atomic import write_text
from imaging.config import TrainConfig
from imaging.errors import ConfigurationError
from thorax.live_training import LiveTraining

if TYPE_CHECKING:
    from imaging.data.dataset import Dataset
    from imaging.evaluation import Evaluation
    from imaging.settings import Settings
    from imaging.training.reports import TrainingReport

RUN_FILE = "run.json"
"""In the model directory: the whole recipe as it was trained, and on what."""
SERVED = "chest-xray"
SMALLEST_SERVED = 64
"""Pixels; the chest X-ray service refuses smaller images, also a package's own reference image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where images come from; all but the address is for those that are not a dataset version yet."""

    address: str
    """A dataset version, or a folder or s3:// address of images."""
    labels: str = ""
    layout: str = "auto"
    subject: Literal["radiograph", "picture"] | None = None
    """What the images show; the recipe's where absent."""
    finding: str = ""
    name: str = "dataset"
    size: int = 0
    """Side of packed images; 0 is what the recipe reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Who is trained on and who is tested on: a split file, the source's own split, or one drawn by patient."""

    file: Path | None = None
    keep: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be trained on what."""

    config: TrainConfig
    source: Source
    parts: Parts = Parts()
    out: Path | None = None
    evaluate: bool = True
    devices: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run made."""

    model: Path
    dataset: "Dataset"
    report: "TrainingReport"
    evaluation: "Evaluation | None"


def run_training(order: Order, settings: "Settings", live: LiveTraining) -> Outcome:
    """Ingest where needed, split, train, calibrate and evaluate; go on where the same order was stopped.

    Args:
        order: What to train on what.
        settings: The home, weights, and keys.
        live: Is told how it goes.

    Raises:
        ThoraxError: with a code, for what the user can act on.
        KeyboardInterrupt: on Ctrl-C; `live.phase` says what it stopped, and what is finished is kept.
    """
    from imaging.data.dataset import load_dataset
    from imaging.training.reports import read_report

    if order.out is not None:
        check_out(order.out)
    live.begin("reading", "reading the dataset")
    dataset = load_dataset(provide_version(order, settings, live))
    split = provide_split(order, dataset, settings)
    key = run_key(order.config, dataset.digest, split.read_text(), settings)
    out = order.out or settings.home / "models" / f"{order.config.name}-{key[:12]}"
    check_out(out)
    if is_trained(out, key):
        live.note(f"this was trained before, into {out}: going on with its evaluation")
    else:
        train_model(order, dataset.path, split, out, settings, live)
        write_text(out / "split.json", split.read_text())
        write_text(out / RUN_FILE, _run_text(order, dataset, key))
    evaluation = measure(dataset.path, split, out, live) if order.evaluate else None
    return Outcome(model=out, dataset=dataset, report=read_report(out), evaluation=evaluation)


def check_out(out: Path) -> None:
    """Refuse a folder that training would replace and that is no model's.

    Raises:
        ConfigurationError: when it holds anything but a model.
    """
    if out.is_dir() and ((out / "model.json").is_file() or not any(out.iterdir())):
        return
    if out.exists():
        raise ConfigurationError(
            f"the model directory {out} is replaced as a whole, and is there with other things in it; "
            "expected a new or empty folder, or an earlier model's"
        )


def provide_version(order: Order, settings: "Settings", live: LiveTraining) -> Path:
    """Return the dataset version that the source is or that is made of it, kept in the home."""
    from imaging.data.bucket import fetch, is_version
    from imaging.data.dataset import MANIFEST

    address, datasets = order.source.address, settings.home / "datasets"
    if "://" not in address and (Path(address) / MANIFEST).is_file():
        return Path(address)
    if address.startswith("s3://") and is_version(address, settings):
        return fetch(address, datasets, settings).path
    return ingest_images(order.source, order.config, datasets, settings=settings, live=live)


def ingest_images(
    source: Source, config: TrainConfig, datasets: Path, *, settings: "Settings", live: LiveTraining
) -> Path:
    """Pack the images of a folder or bucket for a recipe, and record it."""
    from audit import record
    from imaging.data.ingest import ingest
    from imaging.data.pseudonyms import pseudonym_key

    made = ingest(
        source.address,
        datasets,
        labels=source.labels or None,
        name=source.name,
        size=source.size or packed_side(config),
        pseudonym_key=pseudonym_key(settings),
        layout=source.layout,
        subject=source.subject or config.subject,
        grey=config.input.channels == 1,
        finding=source.finding,
        on_progress=live.on_read,
        settings=settings,
    )
    record("dataset.created", subject=made.digest, details={"counts": made.counts, "problems": made.problems})
    aside = sum(made.problems.values())
    live.note(f"dataset version {made.path}" + (f"; {aside} images set aside, see its report" if aside else ""))
    return made.path


def packed_side(config: TrainConfig) -> int | None:
    """Return the side to pack images at, or None for their layout's own where the recipe only adds a border."""
    if config.input.fit == "pad":
        return None
    return max(config.input.size, SMALLEST_SERVED) if config.registered_model == SERVED else config.input.size


def provide_split(order: Order, dataset: "Dataset", settings: "Settings") -> Path:
    """Return the split file that was given, or one drawn by patient and kept in the home."""
    from imaging.data.splits import split_on_disk

    parts = order.parts
    if parts.file is not None:
        return parts.file
    digest = dataset.digest.removeprefix("sha256:")[:12]
    path = settings.home / "splits" / f"{digest}-{'kept' if parts.keep else 'drawn'}-{parts.seed}.json"
    split_on_disk(dataset.path, path, seed=parts.seed, keep_hints=parts.keep)
    return path


def run_key(config: TrainConfig, dataset_digest: str, split_text: str, settings: "Settings") -> str:
    """Name a run by what it was asked: recipe, data, split, and the weights it was given."""
    asked = [config.digest, dataset_digest, split_text, str(settings.weights or ""), settings.allow_download]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def is_trained(out: Path, key: str) -> bool:
    """Say whether `out` is the model of this very run, stopped or asked to stop before it was evaluated."""
    if (out / "evaluation" / "evaluation.json").is_file():
        return False
    try:
        return bool(json.loads((out / RUN_FILE).read_text())["key"] == key)
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or cut off: it is trained again
        return False


def train_model(order: Order, version: Path, split: Path, out: Path, settings: "Settings", live: LiveTraining) -> None:
    """Train on one device or several."""
    live.begin("training", "preparing")
    if order.devices > 1:
        from imaging.training.distributed import launch

        launch(
            order.config,
            version,
            split,
            out,
            settings=settings,
            processes=order.devices,
            on_epoch=live.on_epoch,
            on_progress=live.on_progress,
        )
        return
    from imaging.training import train_on_disk

    train_on_disk(
        order.config, version, split, out, settings=settings, on_epoch=live.on_epoch, on_progress=live.on_progress
    )


def measure(version: Path, split: Path, model: Path, live: LiveTraining) -> "Evaluation":
    """Calibrate the model where it lies, and evaluate it into its folder `evaluation`."""
    from imaging.evaluation import calibrate_on_disk, evaluate_on_disk

    live.begin("measuring", "calibrating")
    calibrate_on_disk(model, version, split, model)
    live.begin("measuring", "evaluating on the test part")
    return evaluate_on_disk(model, version, split, model / "evaluation")


def _run_text(order: Order, dataset: "Dataset", key: str) -> str:
    document = {
        "key": key,
        "recipe": order.config.name,
        "config": order.config.model_dump(mode="json"),
        "dataset": dataset.digest,
        "devices": order.devices,
    }
    return json.dumps(document, indent=1) + "\n"
