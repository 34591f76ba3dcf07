"""A training on several nodes as a step's output: files to the volume that the nodes share, a job, the model back."""

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from components.dataset_versions import link_tree
from imaging.atomic import write_text
from imaging.config import TrainConfig
from imaging.data.dataset import load_dataset
from imaging.settings import Settings
from imaging.training.messages import Heard
from imaging.training.process import Job
from imaging.training.reports import read_report
from imaging.training.results import BestEpoch, EpochResult
from imaging.training.trainjob import POLL_S, Nodes, connect, run_trainjob

if TYPE_CHECKING:
    from kubeflow.trainer import TrainerClient

logger = logging.getLogger(__name__)


def log_epoch(result: EpochResult) -> None:
    """Write an epoch into the step's log."""
    logger.info("epoch %d (%s): val_loss %.3f", result.epoch, result.stage, result.val_loss)


def train_on_cluster(
    config: TrainConfig,
    dataset_path: Path,
    split_file: Path,
    out: Path,
    *,
    nodes: Nodes,
    settings: Settings,
    on_epoch: Callable[[EpochResult], None] = log_epoch,
    client: "TrainerClient | None" = None,
    poll_s: float = POLL_S,
) -> BestEpoch:
    """Do what `train_on_disk` does, on several nodes; a killed training goes on where it was, by the same call.

    Args:
        config: The recipe; `batch_size` is what all processes take together.
        dataset_path: A dataset version, anywhere.
        split_file: A split of that version.
        out: The model directory to write.
        nodes: On what; the home must be on their volume.
        settings: `home` takes the files while the job runs, and its checkpoint.
        on_epoch: Told every epoch's result; the step's log where absent.
        client: Of the cluster; the one around this process where absent.
        poll_s: Seconds between two looks at the job.

    Returns:
        The kept epoch.

    Raises:
        ThoraxError: as `train_on_disk` and `run_trainjob`.
    """
    client = connect() if client is None else client
    split_text = split_file.read_text()
    key = _key(config, load_dataset(dataset_path).digest, split_text)
    folder = settings.home.resolve() / "trainjobs" / key
    link_tree(dataset_path, folder / "dataset")
    write_text(folder / "split.json", split_text)
    job = Job.of(
        config, folder / "dataset", folder / "split.json", folder / "model", settings=settings, tells_progress=False
    )
    write_text(folder / "job.json", job.model_dump_json())
    run_trainjob(folder / "job.json", key, nodes, client=client, heard=Heard(on_epoch=on_epoch), poll_s=poll_s)
    link_tree(folder / "model", out)
    shutil.rmtree(folder, ignore_errors=True)
    report = read_report(out)
    best = report.epochs[report.best_epoch - 1]
    return BestEpoch(
        epoch=best.epoch,
        stage=best.stage,
        val_loss=best.val_loss,
        val_macro_auroc=best.val_macro_auroc,
        val_accuracy=best.val_accuracy,
    )


def _key(config: TrainConfig, dataset_digest: str, split_text: str) -> str:
    """Name a training by what is trained on what: whoever asks for the same joins it."""
    return hashlib.sha256(f"{config.digest}\n{dataset_digest}\n{split_text}".encode()).hexdigest()[:12]
