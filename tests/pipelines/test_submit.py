import pytest

from imaging.errors import ConfigurationError, ServiceError
from pipelines.fingerprints import code_version
from pipelines.resources import NEEDS
from pipelines.submit import submit
from tests.pipelines.kfp_api import serve

ARGUMENTS = {"source": "s3://images/2026", "recipe": "resnet50_xray3", "overrides": {"batch_size": 64}}


def test_a_submitted_run_carries_the_pipeline_its_needs_and_its_arguments(capfd: pytest.CaptureFixture[str]) -> None:
    with serve() as api:
        run = submit("train-classifier", ARGUMENTS, host=api.host, service_account="trainer")
    (sent,) = api.runs

    assert run.run_id == "run-1"
    assert run.url == f"{api.host}/#/runs/details/run-1"
    assert [experiment["display_name"] for experiment in api.experiments] == ["thorax"]
    assert sent["experiment_id"] == "experiment-1"
    assert sent["service_account"] == "trainer"
    assert sent["runtime_config"]["parameters"].items() >= {**ARGUMENTS, "code_version": code_version()}.items()
    steps = sent["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"].keys()
    assert {"ingest-images", "train-model", "check-gates", "register-model"} <= steps <= NEEDS.keys()
    assert "kubernetes" in sent["pipeline_spec"]["platform_spec"]["platforms"]
    assert capfd.readouterr() == ("", "")


def test_a_second_run_goes_to_the_same_experiment() -> None:
    with serve() as api:
        submit("train-classifier", ARGUMENTS, host=api.host)
        submit("train-classifier", ARGUMENTS, host=api.host)

    assert [run["experiment_id"] for run in api.runs] == ["experiment-1", "experiment-1"]


def test_what_the_cluster_alone_can_see_is_keyed_anew_by_each_submission() -> None:
    with serve() as api:
        submit("train-classifier", {**ARGUMENTS, "champion": ""}, host=api.host)
        submit("train-classifier", ARGUMENTS, host=api.host)
        submit("train-classifier", {**ARGUMENTS, "weights_version": "sha256:1"}, host=api.host)
    first, second, told = (run["runtime_config"]["parameters"] for run in api.runs)
    values = [sent[name] for sent in (first, second) for name in ("champion", "source_version", "weights_version")]

    assert all(value.startswith("unseen-") for value in values)
    assert len(set(values)) == 6
    assert told["weights_version"] == "sha256:1"


def test_a_token_is_shown_to_the_server() -> None:
    with serve(token="open") as api:
        assert submit("train-classifier", ARGUMENTS, host=api.host, token="open").run_id == "run-1"
        with pytest.raises(ServiceError, match="401"):
            submit("train-classifier", ARGUMENTS, host=api.host, token="wrong")


def test_a_refusal_is_told_in_the_servers_words() -> None:
    with serve(refuse_runs=True) as api, pytest.raises(ServiceError, match="the pipeline specification is invalid"):
        submit("train-classifier", ARGUMENTS, host=api.host)


def test_a_server_that_hangs_is_not_waited_for_forever() -> None:
    with serve(delay_s=3.0) as api, pytest.raises(ServiceError, match="does not answer"):
        submit("train-classifier", ARGUMENTS, host=api.host, timeout_s=1.0)


def test_a_server_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        submit("train-classifier", ARGUMENTS, host="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"speed": 1}, "'speed'"), ({"overrides": {"floors": {"sensitivity_lower": {}}}}, "floors is not a run's to set")],
)
def test_arguments_are_checked_before_the_server_is_asked(changes: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        submit("train-classifier", {**ARGUMENTS, **changes}, host="http://127.0.0.1:9")


def test_a_recurring_run_is_begun_by_the_server_at_its_times_and_reuses_nothing() -> None:
    with serve() as api:
        told = submit("train-classifier", ARGUMENTS, host=api.host, service_account="trainer", every="30 3 * * 1")
    (job,) = api.recurring
    assert api.runs == []
    assert (told.run_id, told.url) == ("job-1", f"{api.host}/#/recurringrun/details/job-1")
    assert job["trigger"]["cron_schedule"]["cron"] == "0 30 3 * * 1"
    assert (job["max_concurrency"], job["no_catchup"], job["mode"]) == (1, True, "ENABLE")
    assert job["service_account"] == "trainer"
    assert job["runtime_config"]["parameters"].items() >= ARGUMENTS.items()
    tasks = job["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"].values()
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks)


def test_a_submitted_run_says_how_long_its_pods_are_kept() -> None:
    with serve() as api:
        submit("train-classifier", ARGUMENTS, host=api.host, keep_days=14)
    kept = api.runs[0]["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["pipelineConfig"]
    assert kept == {"resourceTtlOnSuccess": 1_209_600, "resourceTtlOnFailure": 1_209_600}


@pytest.mark.parametrize("every", ["30 3 * *", "0 30 3 * * 1", "60 3 * * 1", "* * 0 * *", "@daily", "5/0 * * * *", "a"])
def test_a_time_that_is_none_is_refused_before_the_server_is_asked(every: str) -> None:
    with pytest.raises(ConfigurationError, match="minute hour day month weekday"):
        submit("train-classifier", ARGUMENTS, host="http://127.0.0.1:9", every=every)


@pytest.mark.parametrize("every", ["*/15 * * * *", "0 0 1 1,7 *", "5 4-6/2 * * 0"])
def test_the_usual_ways_to_write_a_time_are_taken(every: str) -> None:
    with serve() as api:
        submit("train-classifier", ARGUMENTS, host=api.host, every=every)
    assert api.recurring[0]["trigger"]["cron_schedule"]["cron"] == f"0 {every}"


def test_days_that_cannot_be_are_refused() -> None:
    with serve() as api, pytest.raises(ConfigurationError, match="1 to 3650 days"):
        submit("train-classifier", ARGUMENTS, host=api.host, keep_days=-1)
