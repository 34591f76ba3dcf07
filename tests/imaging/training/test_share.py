"""Two processes and one train the same: on a CPU, with gloo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from imaging.training.distributed import environment, launcher

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from imaging.config import AugmentConfig, InputConfig, Stage, TrainConfig
from imaging.models import build_model
from imaging.training import TrainingRun, train
from imaging.training.share import joined
from tests.imaging.training.factories import CLASSES, training_data

torch.set_num_threads(1)
stage = dict(name="all", epochs=3, trainable="all", lr=2e-3, schedule="one_cycle")
plain = TrainConfig(
    name="tiny", architecture="lenet5", input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,)),
    stages=(stage,), batch_size=7, ema_decay=0.9, clip_norm=1.0, weighted_sampling=True, subject="picture",
    augment=AugmentConfig(rotation_degrees=10, shift=0.1, noise=0.05, crop_padding=2, flip=True), dropout=0.0,
)
normed = plain.replace(architecture="small_cnn", stages=({**stage, "epochs": 2},))
cases = {"plain": (plain, 24), "normed": (normed, 24), "few": (plain.replace(batch_size=1), 6)}


def run_of(case, world):
    config, count = cases[case]
    torch.manual_seed(0)
    model = build_model(config.architecture, num_classes=3, channels=1, size=32, dropout=0.0)
    return TrainingRun(model=model, config=config, stages=config.stages, data=training_data(count), world=world)


def normalised(world):
    # one process has no image of the batch
    values = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    norm = world.share_norms(nn.Sequential(nn.BatchNorm2d(4)))
    mine = values[:0] if world.rank == 1 else values
    mine.requires_grad_()
    result = norm(mine)
    (result**3).sum().backward()
    state = [value.double() for value in norm.state_dict().values()]
    gradients = [world.sum(value.grad) for value in norm.parameters()]
    seen = [world.sum(result.detach().square().sum()), *gradients, *state]
    return [value.flatten().tolist() for value in (seen if len(mine) == 0 else [*seen, mine.grad])]


with joined() as world:
    told = {"norm": normalised(world)}
    for case in cases:
        run = run_of(case, world)
        resident = 0 if case == "few" else None  # read ahead from disk, or on the device
        results = [result.model_dump() for result in train(run, resident_bytes=resident)]
        state = run.model.state_dict()
        weights = {name: float(value.double().abs().sum()) for name, value in state.items()}
        told[case] = [results, weights, world.all_have(json.dumps(weights)), world.all_have(str(world.rank))]
    if world.is_first:
        Path(sys.argv[1]).write_text(json.dumps(told))
"""
CASES = ("plain", "normed", "few")
FIGURES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_macro_auroc")


def _train(out: Path, processes: int) -> dict[str, list]:
    script = out.with_suffix(".py")
    script.write_text(SCRIPT)
    command = [*(launcher(processes) if processes > 1 else [sys.executable]), str(script), str(out)]
    given = {**environment(processes), "OMP_NUM_THREADS": "1"}
    # what they wrote goes to this test's own output, so that a failure of theirs is seen
    assert subprocess.run(command, env=given, timeout=240, check=False).returncode == 0
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list], dict[str, list]]:
    folder = tmp_path_factory.mktemp("share")
    return _train(folder / "one", 1), _train(folder / "two", 2)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns_from_the_same_batches(trained, case: str) -> None:
    """Also where batch norms learn statistics, and where a process has no image of a batch."""
    (alone, weights, *_), (together, shared_weights, *_) = (told[case] for told in trained)
    for one, two in zip(alone, together, strict=True):
        assert {name: two[name] for name in FIGURES} == pytest.approx({name: one[name] for name in FIGURES}, abs=1e-5)
    assert shared_weights == pytest.approx(weights, rel=1e-4)


def test_all_processes_end_with_the_same_weights_to_the_last_bit(trained) -> None:
    _, together = trained
    assert [together[case][2] for case in CASES] == [True, True, True]


def test_processes_see_that_they_differ(trained) -> None:
    alone, together = trained
    assert [alone[case][3] for case in CASES] == [True, True, True]
    assert [together[case][3] for case in CASES] == [False, False, False]


def test_a_batch_norm_sees_the_images_of_all_processes_where_one_has_none(trained) -> None:
    """Outputs, gradients and statistics are those of torch's batch norm in one process."""
    alone, together = (told["norm"] for told in trained)
    assert len(alone) == len(together)
    for one, two in zip(alone, together, strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5)
