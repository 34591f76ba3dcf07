from pathlib import Path

import pytest
import yaml

from imaging.errors import NotFoundError
from pipelines import PIPELINES
from pipelines.compilation import compile_pipeline
from pipelines.resources import NEEDS

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return list(
        yaml.safe_load_all(compile_pipeline("train-classifier", tmp_path_factory.mktemp("out") / "p.yaml").read_text())
    )


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
    tasks = documents[0]["root"]["dag"]["tasks"]
    assert tasks.keys() == NEEDS.keys()
    for step, needs in NEEDS.items():
        resources = executors(documents)[step]["resources"]
        kubernetes = on_kubernetes(documents)[step]
        accelerator = {"resourceCount": str(needs.gpus), "resourceType": needs.gpu_type}
        assert resources["resourceCpuLimit"] == needs.cpu
        assert resources["resourceMemoryLimit"] == needs.memory
        assert {k: resources.get("accelerator", {}).get(k) for k in accelerator} == (
            accelerator if needs.gpus else dict.fromkeys(accelerator)
        )
        assert tasks[step].get("retryPolicy", {}).get("maxRetryCount", 0) == needs.retries
        assert tasks[step].get("cachingOptions", {}).get("enableCache", False) == needs.reusable
        assert kubernetes["activeDeadlineSeconds"] == str(needs.timeout_s)


def test_secrets_reach_a_step_as_variables_from_kubernetes_secrets_only(documents: list[dict]) -> None:
    for step, needs in NEEDS.items():
        got = {
            secret["secretName"]: {pair["secretKey"]: pair["envVar"] for pair in secret["keyToEnv"]}
            for secret in on_kubernetes(documents)[step].get("secretAsEnv", [])
        }
        assert got == {secret.name: secret.variables for secret in needs.secrets}
        assert "env" not in executors(documents)[step]


def test_no_step_installs_packages_or_runs_in_an_unnamed_image(documents: list[dict]) -> None:
    for container in executors(documents).values():
        assert "pip install" not in str(container["command"])
        assert "python" in container["image"]


def test_gates_can_be_softened_by_no_parameter(documents: list[dict]) -> None:
    inputs = documents[0]["components"]["comp-check-gates"]["inputDefinitions"]
    assert "parameters" not in inputs


def test_an_unknown_pipeline_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are: train-classifier"):
        compile_pipeline("train", tmp_path / "p.yaml")
