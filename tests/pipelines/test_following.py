"""Following a submitted run, and the GPUs that its steps are given."""

from pathlib import Path

import pytest
import yaml

from imaging.errors import ConfigurationError, NotFoundError, ServiceError
from pipelines.compilation import compile_pipeline
from pipelines.following import SILENT_FOR, End, follow
from pipelines.gpus import PRODUCT, PROFILES, choose
from pipelines.submit import submit
from tests.pipelines.kfp_api import serve


def run_of(state: str, **steps: str) -> dict:
    tasks = [
        {"display_name": name.replace("_", "-"), "state": one, "child_tasks": [{"pod_name": f"{name}-pod"}]}
        for name, one in steps.items()
    ]
    return {"run_id": "run-1", "state": state, "run_details": {"task_details": tasks}}


def followed(shown: list, **options) -> tuple[End, list[tuple[str, str]]]:
    seen: list[tuple[str, str]] = []
    with serve() as api:
        api.shown = shown
        api.logs = {"check_gates-pod": "[gate_failed] too few"}
        end = follow("run-1", host=api.host, on_step=lambda *told: seen.append(told), sleep=lambda _s: None, **options)
    return end, seen


def test_each_change_of_a_step_is_told_once_until_the_run_succeeds() -> None:
    shown = [
        run_of("RUNNING", ingest_images="RUNNING"),
        run_of("RUNNING", ingest_images="RUNNING", root="RUNNING", check_gates_driver="SUCCEEDED"),
        run_of("SUCCEEDED", ingest_images="SUCCEEDED"),
    ]
    end, seen = followed(shown)
    assert end.passed
    assert seen == [("ingest-images", "RUNNING"), ("ingest-images", "SUCCEEDED")]


def test_a_failed_run_names_the_step_and_the_end_of_its_log() -> None:
    end, _ = followed([run_of("FAILED", ingest_images="SUCCEEDED", check_gates="FAILED")])
    assert end == End(state="FAILED", failed="check-gates", log="[gate_failed] too few")


def test_a_bad_moment_of_the_server_is_waited_out_and_a_long_one_is_told() -> None:
    assert followed([502, 503, run_of("SUCCEEDED")])[0].passed
    with pytest.raises(ServiceError, match="does not answer any more; the run goes on"):
        followed([*[500] * (SILENT_FOR + 2)])


def test_a_refusal_and_an_end_of_patience_are_told() -> None:
    with pytest.raises(ServiceError, match="HTTP 404"):
        followed([404])
    with pytest.raises(ServiceError, match="did not end within"):
        followed([run_of("RUNNING")], timeout_s=0.2)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_the_node_and_the_memory_of_every_step_with_a_gpu(name: str, tmp_path: Path) -> None:
    package = compile_pipeline("train-classifier", tmp_path / "p.yaml")
    choose(package, name, 2)
    specification, platform = yaml.safe_load_all(package.read_text())
    nodes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    taking = {
        key: executor["container"]["resources"]
        for key, executor in specification["deploymentSpec"]["executors"].items()
        if "accelerator" in executor["container"].get("resources", {})
    }
    assert taking.keys() == {"exec-train-model", "exec-evaluate-model"}
    for key, resources in taking.items():
        assert resources["accelerator"]["resourceCount"] == "2"
        assert resources["resourceMemoryLimit"] == f"{2 * int(PROFILES[name].memory[:-2])}Gi"
        assert nodes[key]["nodeSelector"]["labels"] == {"thorax/pool": "gpu", PRODUCT: PROFILES[name].product}


def test_what_cannot_be_chosen_is_an_error_that_lists_what_can(tmp_path: Path) -> None:
    package = compile_pipeline("train-classifier", tmp_path / "p.yaml")
    with pytest.raises(NotFoundError, match="t4, a100, h100, h200"):
        choose(package, "k80", 1)
    with pytest.raises(ConfigurationError, match="1 to 8"):
        choose(package, "t4", 0)
    with pytest.raises(ConfigurationError, match="no step"):
        choose(compile_pipeline("watch-drift", tmp_path / "d.yaml"), "t4", 1)


def test_a_submitted_run_carries_the_chosen_gpu() -> None:
    with serve() as api:
        submit(
            "train-classifier", {"source": "s3://a/b", "recipe": "resnet50_xray3"}, host=api.host, gpu="h100", gpus=4
        )
    (sent,) = api.runs
    executors = sent["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-train-model"]["nodeSelector"]["labels"][PRODUCT] == PROFILES["h100"].product
