"""A TrainJob from its submission to its end, against a stand-in of the cluster; training itself is in tests/e2e."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from components.table import COMPONENTS
from imaging.errors import ConfigurationError, ServiceError, TrainingMemoryError, TrainingProcessError
from imaging.training.messages import Heard, failure_message, message
from imaging.training.results import EpochResult
from imaging.training.trainjob import UNANSWERED, Nodes, connect, run_trainjob
from pipelines.resources import HOME_VOLUME, VOLUME_PATH, declare, machine
from tests.components.cluster_api import ClusterApi, serve

pytestmark = pytest.mark.filterwarnings("ignore:Support for class-based `config`:DeprecationWarning")

GOLDEN = Path(__file__).parents[1] / "goldens" / "trainjob.yaml"
CRD = "crds/trainer/trainer.kubeflow.org_trainjobs.yaml"
EPOCH = {
    "epoch": 1,
    "stage_index": 0,
    "stage": "all",
    "train_loss": 0.5,
    "val_loss": 0.4,
    "val_accuracy": 0.9,
    "val_balanced_accuracy": 0.9,
    "val_macro_auroc": 0.95,
    "lr": 0.001,
    "seconds": 2.0,
}


def nodes(folder: Path, **changes: object) -> Nodes:
    given = {**machine(), "count": 2, "processes": 4, "image": "registry.example/thorax-python:1", **changes}
    return Nodes(**{**given, "volume_path": folder})


def run(api: ClusterApi, folder: Path, *, heard: Heard | None = None, **changes: object) -> None:
    (folder / "job.json").write_text("{}")
    client = connect(api.kube_config(folder / "kubeconfig"))
    on = nodes(folder, **changes)
    run_trainjob(folder / "job.json", "1a2b", on, client=client, heard=heard, poll_s=0.01, sleep=lambda _: None)


def ends(condition: str, *said: tuple[int, str]) -> Callable[[ClusterApi, dict], None]:
    """Play nodes that say something and are done."""

    def play(api: ClusterApi, job: dict) -> None:
        for node, text in said:
            api.say(message("started", rank=node, pid=1) + text, node=node)
        api.finish(job, condition)

    return play


def test_a_job_says_all_that_nodes_need_and_is_removed_at_its_end(tmp_path: Path, update_goldens: bool) -> None:
    with serve(ends("Complete")) as api:
        run(api, tmp_path)
    (job,) = api.taken
    assert api.jobs == {}
    assert re.fullmatch(r"thorax-1a2b-[0-9a-f]{4}", job["metadata"]["name"])

    job["metadata"] = {"name": "thorax-1a2b-0000", "labels": job["metadata"]["labels"]}
    text = yaml.safe_dump(job).replace(str(tmp_path), VOLUME_PATH)
    if update_goldens:
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    assert "secret" not in text.lower()


def test_a_job_is_what_kubeflow_trainer_takes(real_data: Path) -> None:
    (version,) = yaml.safe_load((real_data / CRD).read_text())["spec"]["versions"]
    schema, job = version["schema"]["openAPIV3Schema"], yaml.safe_load(GOLDEN.read_text())

    assert f"trainer.kubeflow.org/{version['name']}" == job["apiVersion"]
    assert list(problems(job["spec"], schema["properties"]["spec"], "spec")) == []
    job["spec"]["trainer"]["numNodes"], job["spec"]["suspended"] = "two", True
    assert list(problems(job["spec"], schema["properties"]["spec"], "spec")) == [
        "spec.trainer.numNodes: not integer",
        "spec.suspended: unknown",
    ]


def problems(value: Any, schema: dict, place: str):
    """Say where a value is not what a CRD's schema wants; of its rules in CEL nothing."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{place}: neither a number nor a string"
        return
    if not isinstance(value, kinds[schema["type"]]):
        yield f"{place}: not {schema['type']}"
        return
    if isinstance(value, str) and not 0 <= len(value) - schema.get("minLength", 0) <= schema.get("maxLength", 2**31):
        yield f"{place}: of the wrong length"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], f"{place}.{index}")
    if isinstance(value, dict):
        yield from (f"{place}: no {name}" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            yield from [f"{place}.{name}: unknown"] if inner is None else problems(item, inner, f"{place}.{name}")


def test_epochs_are_told_once_each_while_the_job_runs(tmp_path: Path) -> None:
    told, first_is_told = [], threading.Event()

    def on_epoch(result: EpochResult) -> None:
        told.append(result.epoch)
        first_is_told.set()

    def play(api: ClusterApi, job: dict) -> None:
        api.say(message("started", rank=0, pid=1) + message("epoch", **EPOCH))
        first_is_told.wait(timeout=60)
        api.say("a line of somebody else\n" + message("epoch", **{**EPOCH, "epoch": 2}))
        api.finish(job, "Complete")

    with serve(play) as api:
        run(api, tmp_path, heard=Heard(on_epoch=on_epoch), timeout_s=60)
    assert told == [1, 2]


def test_what_a_node_fails_with_is_raised_as_what_it_is(tmp_path: Path) -> None:
    """Also of another node than the first, which only lost its neighbour."""
    first = (0, failure_message(RuntimeError("connection closed by peer"), rank=0))
    second = (1, failure_message(TrainingMemoryError("a batch_size of 16 fits"), rank=4))
    with serve(ends("Failed", first, second)) as api, pytest.raises(TrainingMemoryError, match="a batch_size of 16"):
        run(api, tmp_path)
    with serve(ends("Failed", first)) as api, pytest.raises(TrainingProcessError, match="RuntimeError: connection"):
        run(api, tmp_path)
    with serve(ends("Failed")) as api, pytest.raises(TrainingProcessError, match="node-0: Running, node-1: Running"):
        run(api, tmp_path)
    assert api.jobs == {}


def test_a_cluster_that_is_busy_for_a_while_is_waited_for_and_then_no_more(tmp_path: Path) -> None:
    with serve(ends("Complete"), silent_for=UNANSWERED - 1) as api:
        run(api, tmp_path, timeout_s=5)
    with serve(ends("Complete"), silent_for=10**6) as api, pytest.raises(ServiceError, match="it may still run"):
        run(api, tmp_path, timeout_s=5)
    assert len(api.jobs) == 1  # for the next attempt to join


def test_a_job_that_takes_too_long_is_given_up_and_removed(tmp_path: Path) -> None:
    with serve(lambda api, job: None) as api, pytest.raises(TrainingProcessError, match="took longer than 1 s"):
        run(api, tmp_path, timeout_s=1)
    assert api.jobs == {}


def test_a_second_attempt_joins_the_job_of_the_first(tmp_path: Path) -> None:
    with serve(lambda api, job: None) as api:
        api.silent_for = 10**6
        with pytest.raises(ServiceError):
            run(api, tmp_path)
        (job,) = api.jobs.values()
        api.silent_for = 0
        api.finish(job, "Running")
        api.say(message("stopped"))
        with pytest.raises(TrainingProcessError, match=f"{job['metadata']['name']} took longer"):
            run(api, tmp_path, timeout_s=1)
    assert len(api.taken) == 1


def test_what_cannot_be_is_refused_before_anything_is_submitted(tmp_path: Path) -> None:
    with serve(ends("Complete"), has_runtime=False) as api:
        with pytest.raises(ConfigurationError, match="no training runtime 'torch-distributed'"):
            run(api, tmp_path)
        client = connect(tmp_path / "kubeconfig")
        with pytest.raises(ConfigurationError, match=r"THORAX_HOME must be on the volume thorax-home"):
            run_trainjob(tmp_path / "job.json", "1a2b", nodes(tmp_path / "elsewhere"), client=client)
    assert api.taken == []
    (tmp_path / "empty").write_text(json.dumps({}))
    with pytest.raises(ServiceError, match="needs a Kubernetes cluster"):
        connect(tmp_path / "empty")


def test_the_step_has_the_volume_and_no_gpu_of_its_own(tmp_path: Path) -> None:
    @dsl.pipeline(name="train-on-nodes")
    def train_on_nodes(recipe: str) -> None:
        dataset = dsl.importer(artifact_uri="s3://datasets/1", artifact_class=dsl.Dataset)
        split = dsl.importer(artifact_uri="s3://splits/1", artifact_class=dsl.Artifact)
        given = {"dataset": dataset.output, "split": split.output, "recipe": recipe}
        declare(COMPONENTS["train-distributed"](**given, machine=machine(), nodes=4, processes=8))

    compiler.Compiler().compile(train_on_nodes, str(tmp_path / "pipeline.yaml"))
    spec, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    executor = spec["deploymentSpec"]["executors"]["exec-train-distributed"]["container"]
    (on_kubernetes,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()

    assert "accelerator" not in executor["resources"]
    (mount,) = on_kubernetes["pvcMount"]
    assert (mount["constant"], mount["mountPath"]) == (HOME_VOLUME, VOLUME_PATH)
