"""One trial: what it sees, how it ends, what it leaves behind."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from imaging.data.splits import Split
from imaging.errors import DataError
from imaging.recipes import changed_recipe
from imaging.settings import Settings
from imaging.tuning.from_pipeline import choose_on_disk, propose_settings, try_on_disk
from imaging.tuning.results import Trial
from imaging.tuning.trial import Outcome, hide_test_part, run_trial
from tests.imaging.tuning.conftest import Parts

SMALL = {"input.size": 32, "stages.0.epochs": 2, "batch_size": 8}


def trial(parts: Parts, work: Path, *, dataset: Path | None = None, on_epoch=None, **changes) -> Outcome:
    config = changed_recipe("smallcnn_phantom", {**SMALL, **changes})
    settings = Settings(home=work / "home")
    place = dataset or parts.dataset
    return run_trial(config, place, parts.split, work / "t", metric="val_loss", settings=settings, on_epoch=on_epoch)


def test_a_trial_tells_its_kept_epoch_and_leaves_no_model(parts: Parts, tmp_path: Path) -> None:
    found = trial(parts, tmp_path)
    assert (found.state, len(found.epochs)) == ("complete", 2)
    assert found.value == min(epoch["val_loss"] for epoch in found.epochs)
    assert found.value == found.epochs[found.best_epoch - 1]["val_loss"]
    assert not (tmp_path / "t").exists()


def test_a_trial_does_not_depend_on_any_image_outside_training_and_validation(parts: Parts, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(parts.dataset, changed)
    split = Split.load(parts.split)
    images = np.load(changed / "images.npy", mmap_mode="r+")
    for part in ("test", "calibration"):
        images[split.parts[part]] = 255 - images[split.parts[part]]
    images.flush()
    before, after = trial(parts, tmp_path / "a"), trial(parts, tmp_path / "b", dataset=changed)
    losses = [[(e["train_loss"], e["val_loss"]) for e in one.epochs] for one in (before, after)]

    assert before.state == "complete"
    assert losses[0] == losses[1]


def test_the_split_of_a_trial_has_no_row_of_the_test_or_calibration_part(parts: Parts, tmp_path: Path) -> None:
    hide_test_part(parts.split, tmp_path / "seen.json")
    whole, seen = Split.load(parts.split), Split.load(tmp_path / "seen.json")
    assert len(whole.parts["test"]) > 0
    assert {part: len(rows) for part, rows in seen.parts.items()} == {
        "train": len(whole.parts["train"]),
        "val": len(whole.parts["val"]),
        "calibration": 0,
        "test": 0,
    }


def test_a_trial_that_is_not_worth_going_on_with_is_pruned_with_its_best_so_far(parts: Parts, tmp_path: Path) -> None:
    found = trial(parts, tmp_path, on_epoch=lambda result: False)
    assert (found.state, len(found.epochs)) == ("pruned", 1)
    assert found.value == found.epochs[0]["val_loss"]
    assert not (tmp_path / "t").exists()


def test_a_training_that_diverges_is_a_failed_trial(parts: Parts, tmp_path: Path) -> None:
    found = trial(parts, tmp_path, **{"stages.0.lr": 1e30, "stages.0.optimizer": "sgd"})
    assert found.state == "failed"
    assert found.error.startswith("[training_diverged]")


def test_data_that_no_setting_would_mend_are_an_error(parts: Parts, tmp_path: Path) -> None:
    split = Split.load(parts.split)
    Split(parts=split.parts, dataset_digest="sha256:other").save(tmp_path / "other.json")
    config = changed_recipe("smallcnn_phantom", SMALL)
    with pytest.raises(DataError):
        run_trial(
            config,
            parts.dataset,
            tmp_path / "other.json",
            tmp_path,
            metric="val_loss",
            settings=Settings(home=tmp_path),
        )


def test_the_steps_of_the_pipeline_propose_try_and_choose(parts: Parts, tmp_path: Path) -> None:
    space = {"stages.0.lr": "log(1e-4,1e-1)"}
    what = {"overrides": SMALL, "metric": "val_macro_auroc"}
    proposed = propose_settings("smallcnn_phantom", space, trials=2, seed=0, **what)
    files = [tmp_path / f"{number}.json" for number in range(2)]
    tried = [
        try_on_disk("smallcnn_phantom", *parts, file, fields=fields, settings=Settings(home=tmp_path), **what)
        for file, fields in zip(files, proposed, strict=True)
    ]
    found = choose_on_disk(files, tmp_path / "out", recipe="smallcnn_phantom", space=space, seed=0, **what)

    assert [trial.value for trial in found.trials] == [outcome.value for outcome in tried]
    assert found.best.value == max(outcome.value for outcome in tried)
    assert found.best_overrides == {**SMALL, **found.best.fields}
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"trials.json", "search.png", "best.json"}
    assert isinstance(found.best, Trial)
