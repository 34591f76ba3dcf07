"""The search with real worker processes on tiny pictures: extended, killed in part, interrupted, hopeless."""

import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from imaging.data.ingest import ingest
from imaging.data.splits import split_on_disk
from imaging.errors import ConfigurationError
from imaging.settings import Settings
from imaging.tuning.search import News, Plan, describe, search
from imaging.tuning.space import parse_space
from tests.pipelines.easy_images import write_easy_images

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(600)]

SMALL = {"input.size": 32, "stages.0.epochs": 2, "batch_size": 8}


@pytest.fixture
def plan(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    root = tmp_path_factory.mktemp("search")
    images = write_easy_images(root / "images", patients=16)
    made = ingest(str(images), root / "out", labels=images / "labels.csv", size=32, pseudonym_key=b"k" * 32)
    split_on_disk(made.path, root / "split.json")
    space = parse_space(["stages.0.lr=log(1e-4,1e-1)"])
    return Plan(
        recipe="smallcnn_phantom",
        dataset=made.path,
        split=root / "split.json",
        space=space,
        overrides=SMALL,
        trials=3,
    )


def workers() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_a_search_ends_with_its_trials_on_disk_and_no_process_left_and_can_be_extended(
    plan: Plan, tmp_path: Path
) -> None:
    news: list[News] = []
    stands: list[int] = []
    found = search(
        replace(plan, parallel=2),
        settings=Settings(home=tmp_path),
        on_news=news.append,
        on_trial=lambda result: stands.append(result.count("complete")),
    )
    folder = tmp_path / "tuning" / found.study
    more = search(replace(plan, trials=4), settings=Settings(home=tmp_path))

    assert found.count("complete") == 3
    assert stands == [1, 2, 3]
    assert len([one for one in news if one.epoch is not None]) == 6
    assert not [process for process in workers() if process.status() != psutil.STATUS_ZOMBIE]
    assert json.loads((folder / "trials.json").read_text()) == more.to_json()
    assert more.trials[:3] == found.trials
    assert len(more.trials) == 4
    assert list((folder / "work").iterdir()) == []


def test_a_worker_that_dies_costs_its_trial_only(plan: Plan, tmp_path: Path) -> None:
    def kill_the_first(news: News) -> None:
        if news.trial.number == 0 and news.epoch is not None:
            for process in workers():
                process.kill()

    found = search(replace(plan, trials=2), settings=Settings(home=tmp_path), on_news=kill_the_first)
    assert [trial.state for trial in found.trials] == ["failed", "complete"]
    assert found.trials[0].error.startswith("[worker_died]")


def test_a_search_interrupted_in_a_trial_keeps_it_for_the_next_time(plan: Plan, tmp_path: Path) -> None:
    def interrupt(news: News) -> None:
        if news.trial.number == 1 and news.epoch is not None:
            raise KeyboardInterrupt

    plan = replace(plan, trials=2)
    with pytest.raises(KeyboardInterrupt):
        search(plan, settings=Settings(home=tmp_path), on_news=interrupt)
    kept = json.loads((tmp_path / "tuning" / describe(plan).study / "trials.json").read_text())
    found = search(plan, settings=Settings(home=tmp_path))

    assert [trial["state"] for trial in kept["trials"]] == ["complete", "failed", "waiting"]
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete"]
    assert found.trials[2].retry_of == 1
    assert found.trials[2].fields == found.trials[1].fields


def test_a_search_in_which_every_trial_fails_gives_up(plan: Plan, tmp_path: Path) -> None:
    hopeless = replace(
        plan,
        space=parse_space(["stages.0.lr=log(1e29,1e30)"]),
        overrides={**SMALL, "stages.0.optimizer": "sgd"},
        trials=9,
    )
    with pytest.raises(ConfigurationError, match=r"the first 3 trials failed, the last with \[training_diverged\]"):
        search(hopeless, settings=Settings(home=tmp_path))
