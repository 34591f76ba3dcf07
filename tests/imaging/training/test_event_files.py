from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from imaging.models.directory import FORBIDDEN_SUFFIXES
from imaging.models.manifest import code_problems
from imaging.training.event_files import write_event_files
from tests.imaging.training.histories import history


def scalars(folder: Path) -> dict[str, list]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}


def test_tensorboard_reads_a_point_an_epoch_for_training_and_validation(tmp_path: Path) -> None:
    results = history([1.0, 0.6, 0.4])
    write_event_files(tmp_path, results)
    training, validation = (scalars(tmp_path / "tensorboard" / run) for run in ("training", "validation"))
    assert training.keys() == {"loss", "accuracy", "learning_rate", "images_per_s", "data_share"}
    assert validation.keys() == {"loss", "accuracy", "balanced_accuracy", "macro_auroc"}
    assert [point.step for point in training["loss"]] == [1, 2, 3]
    assert [point.value for point in validation["loss"]] == pytest.approx([1.0, 0.6, 0.4])
    assert [point.value for point in training["learning_rate"]] == pytest.approx([one.lr for one in results])


def test_the_epochs_count_back_from_the_end_as_if_never_interrupted(tmp_path: Path) -> None:
    write_event_files(tmp_path, history([1.0, 0.6, 0.4]), ended=1_000_000.0)
    points = scalars(tmp_path / "tensorboard" / "training")["loss"]
    assert [point.wall_time for point in points] == [999_996.0, 999_998.0, 1_000_000.0]


def test_an_event_file_may_lie_in_a_model_package_and_tells_no_machine(tmp_path: Path) -> None:
    write_event_files(tmp_path, history([1.0]))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"events.out.tfevents.epochs"}
    assert not {path.suffix for path in files} & set(FORBIDDEN_SUFFIXES)
    assert code_problems(tmp_path) == []
