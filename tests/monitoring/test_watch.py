import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit import AuditLog
from audit.predictions import PredictionSpool
from imaging.errors import NotFoundError, ServiceError
from imaging.settings import Settings
from monitoring.change_control import Request, load_plan
from monitoring.drift import DriftResult
from monitoring.retrain_history import read_history, retraining_lock
from monitoring.served import ServedModel, served_model
from monitoring.watch import Ended, Watcher
from tests.monitoring.conftest import DIGEST, drawn_rows

ROOT = Path(__file__).resolve().parents[2]
PLAN = load_plan(ROOT / "pipelines" / "change_control.yaml")
REQUEST = Request(serving_version="3", recipe="a", champion_recipe="a", labelled=True)


@pytest.fixture
def watcher(home: Path) -> Watcher:
    return Watcher(settings=Settings(home=home), plan=PLAN, log=AuditLog(home / "audit"), actor="monitor")


@pytest.fixture
def served(home: Path, make_package: Callable[..., Path]) -> ServedModel:
    package = make_package()
    (home / "release").mkdir(parents=True)
    state = {"serving": {"version": "3", "digest": DIGEST, "package": str(package)}, "previous": None}
    (home / "release" / "state.json").write_text(json.dumps(state))
    return served_model(home)


def drift(home: Path, *, drifted: bool = True) -> DriftResult:
    return DriftResult(
        drifted=drifted,
        scores={"mean": 1.5 if drifted else 0.1},
        noise={"mean": 0.2},
        above=("mean",) if drifted else (),
        rows=150,
        reference_rows=300,
        refused=0,
        enough=True,
        html=home / "drift" / "check" / "drift.html",
        json=home / "drift" / "check" / "drift.json",
    )


def challenger() -> Ended:
    return Ended(passed=True, version="4", run="train-classifier-1")


def never() -> Ended:
    raise AssertionError("a refused retraining was started")


def actions(watcher: Watcher) -> list[str]:
    return [event.action for event in watcher.log.events()]


def spool_rows(home: Path, rows: list[dict]) -> None:
    spool = PredictionSpool(home / "predictions" / "spool")
    for index, row in enumerate(rows):
        spool.append({**row, "time": (datetime.now(UTC) - timedelta(minutes=index)).isoformat()})
    spool.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_look_records_the_batch_the_check_and_the_drift(home: Path, watcher: Watcher, served: ServedModel) -> None:
    spool_rows(home, drawn_rows(120, seed=4, shift=2.0))
    result = watcher.look(served)
    assert result.drifted
    assert actions(watcher) == ["prediction.logged", "run.finished", "drift.detected"]
    found = watcher.log.events(action="drift.detected")[0]
    assert found.subject == "chest-xray/3"
    assert found.details["figures"]["mean"]["psi"] > found.details["bound"]
    assert watcher.log.verify().ok


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_look_without_drift_is_recorded_as_such(home: Path, watcher: Watcher, served: ServedModel) -> None:
    spool_rows(home, drawn_rows(120, seed=4))
    watcher.look(served)
    assert actions(watcher) == ["prediction.logged", "run.finished"]
    assert watcher.log.events()[-1].details["drifted"] is False


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_look_at_another_package_is_no_drift_of_the_served_model(
    home: Path, watcher: Watcher, served: ServedModel
) -> None:
    spool_rows(home, drawn_rows(120, seed=4, shift=2.0))
    assert watcher.look(served, package=served.package).drifted
    assert actions(watcher) == ["prediction.logged"]


def test_no_drift_starts_and_refuses_nothing(home: Path, watcher: Watcher, served: ServedModel) -> None:
    decision, ended = watcher.answer(drift(home, drifted=False), served, REQUEST, never)
    assert (decision.action, ended) == ("none", None)
    assert actions(watcher) == []


def test_an_allowed_retraining_is_requested_run_and_ended_in_the_record(
    home: Path, watcher: Watcher, served: ServedModel
) -> None:
    decision, ended = watcher.answer(drift(home), served, REQUEST, challenger)
    assert decision.allowed
    assert ended == challenger()
    requested, finished = watcher.log.events()
    assert (requested.action, requested.subject) == ("retrain.requested", "chest-xray/3")
    assert requested.details["plan"] == PLAN.digest
    assert finished.subject == f"retrain/{requested.details['request']}"
    assert finished.details["outcome"] == "challenger"


def test_a_second_trigger_is_refused_and_recorded_while_a_challenger_waits(
    home: Path, watcher: Watcher, served: ServedModel
) -> None:
    watcher.answer(drift(home), served, REQUEST, challenger)
    decision, _ = watcher.answer(drift(home), served, REQUEST, never)
    assert (decision.action, decision.rule) == ("refuse", "open_retrain")
    assert actions(watcher)[-1] == "retrain.refused"
    watcher.log.append("model.approved", actor="approver", subject="chest-xray/4")
    decision, _ = watcher.answer(drift(home), served, REQUEST, never)
    assert decision.rule == "cool_down"


def test_a_trigger_outside_the_plan_is_refused_and_recorded(home: Path, watcher: Watcher, served: ServedModel) -> None:
    request = Request(serving_version="3", recipe="b", champion_recipe="a", labelled=True)
    decision, _ = watcher.answer(drift(home), served, request, never)
    assert decision.rule == "same_recipe"
    refused = watcher.log.events()[-1]
    assert (refused.action, refused.details["rule"]) == ("retrain.refused", "same_recipe")


def test_a_retraining_that_fails_is_recorded_and_cools_down(home: Path, watcher: Watcher, served: ServedModel) -> None:
    def broken() -> Ended:
        raise ServiceError("no registry")

    with pytest.raises(ServiceError):
        watcher.answer(drift(home), served, REQUEST, broken)
    assert watcher.log.events()[-1].details == {"outcome": "failed", "error": "service_unavailable"}
    assert watcher.answer(drift(home), served, REQUEST, never)[0].rule == "cool_down"


def test_a_running_retraining_blocks_others_and_a_killed_one_does_not(
    home: Path, watcher: Watcher, served: ServedModel
) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom monitoring.retrain_history import retraining_lock\n"
        "with retraining_lock(Path(sys.argv[1])) as free:\n    print(free, flush=True)\n    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, env=environment)
    assert other.stdout is not None
    assert other.stdout.readline() == b"True\n"
    watcher.log.append("retrain.requested", actor="x", subject="chest-xray/3", details={"request": "r1"})
    assert watcher.answer(drift(home), served, REQUEST, never)[0].rule == "open_retrain"
    other.send_signal(signal.SIGKILL)
    other.communicate(timeout=60)
    assert [retrain.outcome for retrain in read_history(watcher.log, one_runs=False)] == ["abandoned"]
    assert watcher.answer(drift(home), served, REQUEST, challenger)[0].allowed


def test_one_process_at_a_time_holds_the_retraining_lock(home: Path) -> None:
    with retraining_lock(home) as first, retraining_lock(home) as second:
        assert (first, second) == (True, False)
    with retraining_lock(home) as again:
        assert again


def test_a_home_where_nothing_serves_says_what_to_do(home: Path) -> None:
    with pytest.raises(NotFoundError, match="thorax models approve"):
        served_model(home)


def test_the_package_of_the_release_is_found_by_its_archive(home: Path) -> None:
    package = home / "release" / "packages" / "chest-xray-3-aaaaaaaaaaaa"
    package.mkdir(parents=True)
    (package / "model.json").write_text('{"recipe": "r"}')
    state = {"serving": {"version": "3", "digest": DIGEST, "archive": "chest-xray-3-aaaaaaaaaaaa.mar"}}
    (home / "release" / "state.json").write_text(json.dumps(state))
    found = served_model(home)
    assert (found.package, found.recipe) == (package, "r")
