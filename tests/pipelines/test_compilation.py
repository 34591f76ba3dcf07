from pathlib import Path

import pytest
import yaml

from imaging.errors import NotFoundError
from pipelines import PIPELINES
from pipelines.compilation import compile_pipeline
from pipelines.resources import NEEDS

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module", params=PIPELINES)
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    compiled = compile_pipeline(request.param, tmp_path_factory.mktemp("out") / "p.yaml")
    return list(yaml.safe_load_all(compiled.read_text()))


def tasks(documents: list[dict]) -> dict[str, dict]:
    """Every task that runs a step, also inside loops."""
    scopes = [documents[0]["root"], *documents[0]["components"].values()]
    every = [task for scope in scopes for task in scope.get("dag", {}).get("tasks", {}).items()]
    return {name: task for name, task in every if f"comp-{name}" in documents[0]["components"] and not is_loop(task)}


def is_loop(task: dict) -> bool:
    return "parameterIterator" in task


def executors(documents: list[dict]) -> dict[str, dict]:
    found = documents[0]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in found.items()}


def on_kubernetes(documents: list[dict]) -> dict[str, dict]:
    found = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor for name, executor in found.items()}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_compiles_to_its_golden_file(name: str, tmp_path: Path, update_goldens: bool) -> None:
    compiled = compile_pipeline(name, tmp_path / "pipeline.yaml").read_text()
    golden = GOLDENS / f"{name}.yaml"
    if update_goldens:
        golden.write_text(compiled)
    assert compiled == golden.read_text()


def test_every_step_has_a_row_of_needs_and_gets_it(documents: list[dict]) -> None:
    for step, task in tasks(documents).items():
        needs = NEEDS[step]
        resources = executors(documents)[step]["resources"]
        kubernetes = on_kubernetes(documents)[step]
        accelerator = {"resourceCount": str(needs.gpus), "resourceType": needs.gpu_type}
        assert resources["resourceCpuLimit"] == needs.cpu
        assert resources["resourceMemoryLimit"] == needs.memory
        assert {k: resources.get("accelerator", {}).get(k) for k in accelerator} == (
            accelerator if needs.gpus else dict.fromkeys(accelerator)
        )
        assert task.get("retryPolicy", {}).get("maxRetryCount", 0) == needs.retries
        assert task.get("cachingOptions", {}).get("enableCache", False) == needs.reusable
        assert kubernetes["activeDeadlineSeconds"] == str(needs.timeout_s)


def test_secrets_reach_a_step_as_variables_from_kubernetes_secrets_only(documents: list[dict]) -> None:
    for step in tasks(documents):
        got = {
            secret["secretName"]: {pair["secretKey"]: pair["envVar"] for pair in secret["keyToEnv"]}
            for secret in on_kubernetes(documents)[step].get("secretAsEnv", [])
        }
        assert got == {secret.name: secret.variables for secret in NEEDS[step].secrets}
        assert "env" not in executors(documents)[step]


def test_no_step_installs_packages_or_runs_in_an_unnamed_image(documents: list[dict]) -> None:
    for container in executors(documents).values():
        assert "pip install" not in str(container["command"])
        assert "python" in container["image"]


def test_gates_can_be_softened_by_no_parameter(tmp_path: Path) -> None:
    compiled = compile_pipeline("train-classifier", tmp_path / "p.yaml")
    components = next(yaml.safe_load_all(compiled.read_text()))["components"]
    assert "parameters" not in components["comp-check-gates"]["inputDefinitions"]


def test_only_training_a_classifier_registers() -> None:
    assert [name for name, pipeline in PIPELINES.items() if "register-model" in str(pipeline.pipeline_spec)] == [
        "train-classifier"
    ]


def test_a_loop_takes_nothing_that_the_local_orchestrator_would_mix_up(documents: list[dict]) -> None:
    """KFP 2.17 gives every task output parameter that enters a loop the loop's item: only the items may be one."""
    for scope in (documents[0]["root"], *documents[0]["components"].values()):
        for task in filter(is_loop, scope.get("dag", {}).get("tasks", {}).values()):
            given = task["inputs"]["parameters"]
            produced = {name for name, source in given.items() if "taskOutputParameter" in source}
            assert produced == {task["parameterIterator"]["items"]["inputParameter"]}
            assert 1 <= task["iteratorPolicy"]["parallelismLimit"] <= 8


def test_an_unknown_pipeline_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are: train-classifier"):
        compile_pipeline("train", tmp_path / "p.yaml")
