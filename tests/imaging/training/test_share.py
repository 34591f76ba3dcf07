"""Two processes and one train the same: on a CPU, with gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
import torch
from imaging.config import AugmentConfig, InputConfig, Stage, TrainConfig
from imaging.models import build_model
from imaging.training import TrainingRun, train
from imaging.training.share import joined
from tests.imaging.training.factories import CLASSES, training_data

torch.set_num_threads(1)
stage = dict(name="all", epochs=3, trainable="all", lr=2e-3, schedule="one_cycle")
config = TrainConfig(
    name="tiny", architecture="lenet5", input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,)),
    stages=(stage,), batch_size=7, ema_decay=0.9, clip_norm=1.0, weighted_sampling=True, subject="picture",
    augment=AugmentConfig(rotation_degrees=10, shift=0.1, noise=0.05, crop_padding=2, flip=True),
)
with joined() as world:
    torch.manual_seed(0)
    model = build_model("lenet5", num_classes=3, channels=1, size=32)
    run = TrainingRun(model=model, config=config, stages=config.stages, data=training_data(24), world=world)
    results = [result.model_dump() for result in train(run)]
    weights = [float(value.double().abs().sum()) for value in run.model.state_dict().values()]
    if world.is_first:
        open(sys.argv[1], "w").write(json.dumps([results, weights]))
"""


def _train(out: Path, processes: int) -> tuple[list[dict[str, float]], list[float]]:
    script = out.with_suffix(".py")
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"] if processes > 1 else []
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, str(script), str(out)]
    subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)
    results, weights = json.loads(out.read_text())
    return results, weights


def test_two_processes_learn_what_one_learns_from_the_same_batches(tmp_path: Path) -> None:
    alone, weights = _train(tmp_path / "one", 1)
    together, shared_weights = _train(tmp_path / "two", 2)
    for one, two in zip(alone, together, strict=True):
        for figure in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_macro_auroc"):
            assert two[figure] == pytest.approx(one[figure], abs=1e-5)
    assert shared_weights == pytest.approx(weights, rel=1e-5)
