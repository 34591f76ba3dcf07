"""Trains an ensemble: one network after the other, each from a seed of its own, then joined."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from imaging.config import TrainConfig
from imaging.data.dataset import load_dataset
from imaging.data.splits import Split
from imaging.errors import ConfigurationError
from imaging.models.joining import join_models
from imaging.training.loop import OnProgress
from imaging.training.reports import read_report
from imaging.training.results import BestEpoch, EpochResult

TrainOne = Callable[[TrainConfig, Path, OnProgress | None, Callable[[EpochResult], None] | None], Any]


def train_members(
    config: TrainConfig,
    dataset: Path,
    split: Path,
    out: Path,
    train_one: TrainOne,
    *,
    home: Path,
    start: str,
    on_epoch: Callable[[EpochResult], None] | None = None,
    on_progress: OnProgress | None = None,
) -> BestEpoch:
    """Train `config.members` networks and write them as one model directory; what is finished is not trained again.

    Args:
        config: The recipe; member k is trained from seed `config.seed` + k.
        dataset: A dataset version.
        split: A split of it.
        out: The model directory to write. Its curves are the first member's.
        train_one: Trains one network into a folder.
        home: Keeps finished members until all are.
        start: Names the code and the weights to start from; members of another start are not gone on with.
        on_epoch: Told every epoch, its stage with the member's number.
        on_progress: The same for progress.

    Returns:
        The first member's kept epoch, with the means of the members' figures.

    Raises:
        ConfigurationError: under torchrun.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigurationError(
            "an ensemble is trained on one device; on several, train each member with a seed of its own, "
            "then `thorax models join`"
        )
    versions = (start, config.digest, load_dataset(dataset).digest, Split.load(split).digest)
    folder = home / f"members-{hashlib.sha256(chr(10).join(versions).encode()).hexdigest()[:16]}"
    places = [folder / str(number) for number in range(1, config.members + 1)]
    for number, place in enumerate(places, 1):
        if place.is_dir():
            continue
        said = f"member {number} of {config.members}"
        member = config.replace(members=1, seed=config.seed + number - 1)
        train_one(member, place, _progress(on_progress, said), _epochs(on_epoch, said))
    join_models(places, out, seed=config.seed, digests=_digests(places[0], config))
    reports = [read_report(place) for place in places]
    shutil.rmtree(folder, ignore_errors=True)
    best = [report.epochs[report.best_epoch - 1] for report in reports]
    return BestEpoch(
        epoch=best[0].epoch,
        stage=best[0].stage,
        val_loss=sum(one.val_loss for one in best) / len(best),
        val_macro_auroc=sum(one.val_macro_auroc for one in best) / len(best),
        val_accuracy=sum(one.val_accuracy for one in best) / len(best),
    )


def _digests(first: Path, config: TrainConfig) -> dict[str, str]:
    from imaging.models.directory import load_info

    return {**load_info(first).digests, "recipe": config.digest}


def _epochs(told: Callable[[EpochResult], None] | None, said: str) -> Callable[[EpochResult], None] | None:
    if told is None:
        return None
    return lambda result: told(result.model_copy(update={"stage": f"{result.stage}, {said}"}))


def _progress(told: OnProgress | None, said: str) -> OnProgress | None:
    if told is None:
        return None
    return lambda within: told(replace(within, stage=f"{within.stage}, {said}"))
