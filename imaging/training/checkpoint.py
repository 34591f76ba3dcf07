"""Where a run stands, in one safetensors file: weights, their average, best weights, optimizer; JSON for the rest.

Random numbers are not in it: each epoch draws from its own seed.
"""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from imaging import atomic
from imaging.errors import DataError
from imaging.training.engine import SavedStage, TrainingRun
from imaging.training.optimizers import OptimizerState, optimizer_state
from imaging.training.results import EpochResult

SCHEMA_VERSION = "2"


def save_checkpoint(path: Path, run: TrainingRun) -> None:
    """Replace `path` by the state of `run`, whole or not at all."""
    atomic.write_bytes(path, checkpoint_bytes(run))


def checkpoint_bytes(run: TrainingRun) -> bytes:
    """Return the state of `run` between two epochs, as a file holds it."""
    tensors = {f"model/{name}": value for name, value in run.model.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in run.best_state.items()}
    if run.optimizer is not None:
        for index, values in optimizer_state(run.optimizer).items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
    if run.average is not None:
        tensors |= {f"average/{index}": value for index, value in enumerate(run.average.tensors())}
    position = {
        "stage_index": run.stage_index,
        "stage_epoch": run.stage_epoch,
        "history": [result.model_dump() for result in run.history],
        "best": None if run.best is None else run.best.model_dump(),
        "scaler": {} if run.scaler is None else run.scaler.state_dict(),
        "average_steps": 0 if run.average is None else run.average.steps,
    }
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {"schema_version": SCHEMA_VERSION, "position": json.dumps(position)}
    return save(plain, metadata=metadata)


def restore_checkpoint(path: Path, run: TrainingRun) -> None:
    """Bring a new `run` to where the one that was saved stood.

    Raises:
        DataError: when the file is damaged, or of another network or release.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        if metadata.get("schema_version") != SCHEMA_VERSION:
            raise DataError(f"the checkpoint is not of schema {SCHEMA_VERSION}")
        position = json.loads(metadata["position"])
        history = [EpochResult.model_validate(result) for result in position["history"]]
        best = None if position["best"] is None else EpochResult.model_validate(position["best"])
        stage_index, stage_epoch = int(position["stage_index"]), int(position["stage_epoch"])
        averages = _part(tensors, "average/")
        saved = SavedStage(
            optimizer=_optimizer_part(tensors),
            scaler=position["scaler"],
            average=[averages[str(index)] for index in range(len(averages))],
            average_steps=int(position["average_steps"]),
        )
        weights = _part(tensors, "model/")
        _check_fits(run, weights)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError("the checkpoint is damaged or of another network") from error
    run.model.load_state_dict(weights)
    run.stage_index, run.stage_epoch, run.saved = stage_index, stage_epoch, saved
    run.history, run.best, run.best_state = history, best, _part(tensors, "best/")


def _check_fits(run: TrainingRun, weights: dict[str, Tensor]) -> None:
    """Raise ValueError unless `weights` are of the run's network, before any of them is put in."""
    shapes = {name: value.shape for name, value in run.model.state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise ValueError("names or shapes of weights differ")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer_part(tensors: dict[str, Tensor]) -> OptimizerState:
    state: OptimizerState = {}
    for name, value in _part(tensors, "optimizer/").items():
        index, _, field = name.partition("/")
        state.setdefault(int(index), {})[field] = value
    return state
