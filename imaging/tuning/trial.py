"""One trial: a recipe with some settings, trained on the training part and measured on the validation part."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from imaging.config import Frozen, TrainConfig
from imaging.errors import DataError, NotFoundError, ThoraxError
from imaging.settings import Settings
from imaging.tuning.space import METRICS

if TYPE_CHECKING:
    from imaging.training import EpochResult

State = Literal["waiting", "running", "complete", "pruned", "failed"]


class Outcome(Frozen):
    """How one trial ended, or stands."""

    state: State
    value: float | None = None
    """The compared figure: of the kept epoch, or the best so far of a trial that was cut short."""
    best_epoch: int | None = None
    epochs: tuple[dict[str, Any], ...] = ()
    """Every epoch's figures, as `EpochResult`."""
    seconds: float = 0.0
    error: str = ""
    """`[code] message`."""
    fields: dict[str, Any] = Field(default_factory=dict)
    """The fields that were tried, and their values."""


class CutShortError(Exception):
    """Raised inside a training whose trial is pruned."""


def is_lower_better(metric: str) -> bool:
    """Say which way `metric` is better."""
    return metric == METRICS[0]


def best_of(values: list[float], metric: str) -> float | None:
    """Return the best of several values of `metric`, if there is one."""
    return (min if is_lower_better(metric) else max)(values, default=None)


def hide_test_part(split_file: Path, out: Path) -> None:
    """Write the split with its training and validation parts only: no row of another can be read by a trial."""
    from imaging.data.splits import Split

    split = Split.load(split_file)
    seen = {part: rows if part in {"train", "val"} else np.array([], np.int64) for part, rows in split.parts.items()}
    Split(parts=seen, dataset_digest=split.dataset_digest).save(out)


def run_trial(
    config: TrainConfig,
    dataset: Path,
    split: Path,
    work: Path,
    *,
    metric: str,
    settings: Settings,
    on_epoch: "Callable[[EpochResult], bool] | None" = None,
) -> Outcome:
    """Train `config` and tell how it went; the model itself is not kept.

    Args:
        config: The recipe with the settings to try.
        dataset: A dataset version.
        split: Its split; only the training and validation parts are handed on.
        work: The trial's own folder. It holds a checkpoint while the trial runs, and is removed when it ended; a
            trial that was killed or interrupted goes on from there.
        metric: One of `METRICS`.
        settings: Where weights come from.
        on_epoch: Told every epoch; answers whether to go on.

    Raises:
        DataError, NotFoundError: what no other setting would mend.
        KeyboardInterrupt: when the training was interrupted.
    """
    from imaging.training import train_on_disk

    began, epochs = time.monotonic(), []

    def note(result: "EpochResult") -> None:
        epochs.append(result.model_dump())
        if on_epoch is not None and not on_epoch(result):
            raise CutShortError

    work.mkdir(parents=True, exist_ok=True)
    hide_test_part(split, work / "split.json")
    ended: dict[str, Any] = {}
    try:
        best = train_on_disk(
            config, dataset, work / "split.json", work / "model", settings=_own_home(settings, work), on_epoch=note
        )
        epochs = json.loads((work / "model" / "curves.json").read_text())["epochs"]
        ended = {"state": "complete", "best_epoch": best.epoch, "value": float(epochs[best.epoch - 1][metric])}
    except CutShortError:
        ended = {"state": "pruned", "value": best_of([epoch[metric] for epoch in epochs], metric)}
    except (DataError, NotFoundError):
        raise
    except ThoraxError as error:
        ended = {"state": "failed", "error": f"[{error.code}] {error}"}
    shutil.rmtree(work, ignore_errors=True)
    return Outcome(**ended, epochs=tuple(epochs), seconds=round(time.monotonic() - began, 2))


def _own_home(settings: Settings, work: Path) -> Settings:
    """Return settings whose checkpoints are the trial's own; downloaded weights stay shared."""
    shared, own = settings.home.resolve() / "weights", work / "weights"
    if settings.allow_download and not own.is_symlink():
        shared.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared)
    return settings.model_copy(update={"home": work})
