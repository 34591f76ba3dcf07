"""What a search refuses before it starts, and what makes it another study; its processes are in tests/e2e."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imaging.data.splits import Split
from imaging.errors import ConfigurationError, DataError
from imaging.settings import Settings
from imaging.tuning.search import Plan, describe, search
from imaging.tuning.space import parse_space
from tests.imaging.tuning.conftest import Parts

SMALL = {"input.size": 32, "stages.0.epochs": 2, "batch_size": 8}


@pytest.fixture
def plan(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    space = parse_space(["stages.0.lr=log(1e-4,1e-1)"])
    return Plan(
        recipe="smallcnn_phantom", dataset=parts.dataset, split=parts.split, space=space, overrides=SMALL, trials=3
    )


def test_a_search_out_of_time_stops_its_trials(plan: Plan, tmp_path: Path) -> None:
    found = search(replace(plan, timeout_s=0.01), settings=Settings(home=tmp_path))
    assert found.count("complete") == 0


@pytest.mark.parametrize(("changes", "message"), [({"trials": 0}, "trials"), ({"metric": "test_auroc"}, "figure")])
def test_a_plan_that_cannot_be_is_refused_before_a_study_is_made(
    plan: Plan, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        search(replace(plan, **changes), settings=Settings(home=tmp_path))
    assert not (tmp_path / "tuning").exists()


def test_a_split_of_another_dataset_is_refused(plan: Plan, tmp_path: Path) -> None:
    kept = json.loads(plan.split.read_text())
    Split(parts=Split.load(plan.split).parts, dataset_digest="sha256:other").save(tmp_path / "other.json")
    assert kept["dataset"] != "sha256:other"
    with pytest.raises(DataError, match="split again"):
        describe(replace(plan, split=tmp_path / "other.json"))


def test_what_decides_the_trials_decides_the_study_and_nothing_else(plan: Plan) -> None:
    def name(**changes) -> str:
        return describe(replace(plan, **changes)).study

    assert name(trials=9, parallel=3, timeout_s=5.0) == name()
    assert len({name(), name(seed=1), name(metric="val_accuracy"), name(pruner="none"), name(overrides={})}) == 5
