"""From a dataset version and a split file to a model directory, going on where a killed run stopped."""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

import imaging
from imaging import atomic
from imaging.config import TrainConfig
from imaging.data.dataset import Dataset, load_dataset
from imaging.data.splits import Split
from imaging.errors import ConfigurationError, DataError, ThoraxError
from imaging.models.architectures import build_model, check_input_size
from imaging.models.directory import ModelInfo, describe_model, save_model
from imaging.models.weights import initialise
from imaging.settings import Settings
from imaging.training.batches import PackedImages
from imaging.training.checkpoint import checkpoint_bytes, restore_checkpoint
from imaging.training.engine import TrainingData, TrainingRun, train
from imaging.training.loop import OnProgress
from imaging.training.members import train_members
from imaging.training.reports import write_reports
from imaging.training.results import BestEpoch, EpochResult
from imaging.training.share import World, joined
from imaging.training.stages import planned_stages

logger = logging.getLogger(__name__)

SMALL_BYTES = 64 * 2**20
"""A checkpoint of less is made after every epoch, written or not."""
CHECKPOINT_EVERY_S = 5.0
"""Least time between checkpoints: epochs that take less to repeat than to write are repeated."""


def train_on_disk(
    config: TrainConfig,
    dataset_path: Path,
    split_file: Path,
    out: Path,
    *,
    settings: Settings,
    on_epoch: Callable[[EpochResult], None] | None = None,
    on_progress: OnProgress | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> BestEpoch:
    """Train a recipe and write the best epoch's model directory, with its curves, to `out`.

    Args:
        config: The recipe.
        dataset_path: A dataset version, as ingest writes it.
        split_file: A split of that version.
        out: The model directory to write; it appears whole or not at all.
        settings: `home` keeps the checkpoint; `weights` and `allow_download` give initial weights.
        on_epoch: Told every epoch's result, before the checkpoint.
        on_progress: Told a few times a second how far the epoch is.
        checkpoint_every_s: Least time between checkpoints; 0 keeps one for every epoch.

    Returns:
        The kept epoch.

    Raises:
        ConfigurationError, NotFoundError: when the recipe cannot be built.
        DataError: when the dataset and the split do not belong together or cannot be trained on.
        TrainingDivergedError: when a loss is not finite.
    """
    check_input_size(config.architecture, config.input.size)
    one = partial(_train_one, dataset_path, split_file, settings, checkpoint_every_s)
    if config.members == 1:
        return one(config, out, on_progress, on_epoch)
    return train_members(
        config,
        dataset_path,
        split_file,
        out,
        one,
        home=settings.home / "checkpoints",
        start=f"{_code_digest()} {settings.weights} {settings.allow_download}",
        on_epoch=on_epoch,
        on_progress=on_progress,
    )


def _train_one(
    dataset_path: Path,
    split_file: Path,
    settings: Settings,
    checkpoint_every_s: float,
    config: TrainConfig,
    out: Path,
    on_progress: OnProgress | None,
    on_epoch: Callable[[EpochResult], None] | None,
) -> BestEpoch:
    """Train one network and write its model directory."""
    dataset, split = load_dataset(dataset_path), Split.load(split_file)
    with joined() as world:
        run, initial_weights = _new_run(config, dataset, split, settings, world)
        key = _key(config, dataset, split, initial_weights)
        folder = settings.home / "checkpoints" / key
        _restore(folder / "run.safetensors", run)
        _check_same_start(run, key, folder)
        _follow(train(run, on_progress=on_progress), run, folder / "run.safetensors", on_epoch, checkpoint_every_s)
    if run.best is None:
        raise ConfigurationError("the recipe has no epoch to train")
    if world.is_first:
        with atomic.new_directory(out) as directory:
            save_model(directory, run.model, _describe(config, dataset, split, initial_weights))
            write_reports(directory, run.history, run.best, classes=len(dataset.classes))
        shutil.rmtree(folder, ignore_errors=True)
    best = run.best
    return BestEpoch(
        epoch=best.epoch,
        stage=best.stage,
        val_loss=best.val_loss,
        val_macro_auroc=best.val_macro_auroc,
        val_accuracy=best.val_accuracy,
    )


def _follow(
    epochs: Iterator[EpochResult],
    run: TrainingRun,
    path: Path,
    on_epoch: Callable[[EpochResult], None] | None,
    checkpoint_every_s: float,
) -> None:
    """Go through the epochs, telling and saving each; one that is not saved at once is when the run ends early.

    What is not written is kept in memory: always where it is small, else as often as costs a twentieth of the time.
    """
    saved, unsaved, keep_at = time.monotonic(), b"", 0.0
    try:
        for result in epochs:
            if not run.world.is_first:
                continue
            started = time.monotonic()
            if len(unsaved) < SMALL_BYTES or started >= min(keep_at, saved + checkpoint_every_s):
                unsaved = checkpoint_bytes(run)
                keep_at = time.monotonic() + 20 * (time.monotonic() - started)
            if on_epoch is not None:
                on_epoch(result)
            if unsaved and time.monotonic() - saved >= checkpoint_every_s:
                atomic.write_bytes(path, unsaved)
                saved, unsaved = time.monotonic(), b""
    except (KeyboardInterrupt, ThoraxError):
        if unsaved:
            atomic.write_bytes(path, unsaved)
        raise


def _new_run(
    config: TrainConfig, dataset: Dataset, split: Split, settings: Settings, world: World
) -> tuple[TrainingRun, str]:
    """Build the network and the data; return the run and where its initial weights came from."""
    data = training_data(dataset, split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(
            config.architecture,
            num_classes=len(dataset.classes),
            channels=config.input.channels,
            size=config.input.size,
            dropout=config.dropout,
            head=config.head,
            single_logit=config.loss == "binary",
            auxiliary=config.auxiliary_weight > 0,
        )
        initial_weights = initialise(
            model, config.architecture, settings, pretrained=config.pretrained, fed=config.input
        )
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    stages = planned_stages(config, initial_weights)
    if stages != config.stages:
        logger.warning("%s starts from random numbers: all layers for %d epochs", config.name, stages[0].epochs)
    run = TrainingRun(model=model, config=config, stages=stages, data=data, device=device, world=world)
    return run, initial_weights


def training_data(dataset: Dataset, split: Split) -> TrainingData:
    """Point at the training and validation parts; the images stay where they are.

    Raises:
        DataError: when the split was made for another dataset version.
    """
    if split.dataset_digest != dataset.digest:
        raise DataError(f"the split was made for dataset {split.dataset_digest}, not for {dataset.digest}; split again")
    train_part, val_part = split.parts["train"], split.parts["val"]
    return TrainingData(
        classes=dataset.classes,
        train_images=PackedImages(array=dataset.images, rows=train_part),
        train_labels=torch.from_numpy(dataset.labels[train_part]),
        val_images=PackedImages(array=dataset.images, rows=val_part),
        val_labels=torch.from_numpy(dataset.labels[val_part]),
    )


def _restore(path: Path, run: TrainingRun) -> None:
    """Go on from a checkpoint where there is a good one; a damaged one is left behind, aloud."""
    if not path.is_file():
        return
    try:
        restore_checkpoint(path, run)
    except DataError:
        logger.warning("the checkpoint %s cannot be used: training starts anew", path.parent.name)
        return
    logger.info("training goes on after epoch %d from checkpoint %s", len(run.history), path.parent.name)


def _check_same_start(run: TrainingRun, key: str, folder: Path) -> None:
    """Let no process begin before all have the same beginning: also, none writes before all have read.

    Raises:
        ConfigurationError: when they have not.
    """
    if not run.world.all_have(f"{key} {run.stage_index} {[result.model_dump_json() for result in run.history]}"):
        raise ConfigurationError(
            f"the processes do not start alike: {folder.parent.resolve()}, the dataset version, the split and the "
            "initial weights must be the same files for all of them"
        )


def _key(config: TrainConfig, dataset: Dataset, split: Split, initial_weights: str) -> str:
    """Name a run by all that decides its result."""
    parts = "\n".join((config.digest, dataset.digest, split.digest, initial_weights, _code_digest()))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _describe(config: TrainConfig, dataset: Dataset, split: Split, initial_weights: str) -> ModelInfo:
    return describe_model(
        config,
        dataset.classes,
        packed_size=dataset.size,
        packed_channels=dataset.channels,
        initial_weights=initial_weights,
        digests={
            "dataset": dataset.digest,
            "split": split.digest,
            "recipe": config.digest,
            "code": _code_digest(),
        },
    )


def _code_digest() -> str:
    """Return `sha256:` over the source of this library: what ran, committed or not."""
    root = Path(imaging.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return "sha256:" + digest.hexdigest()
