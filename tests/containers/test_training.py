"""`train-classifier` in containers, as Kubeflow Pipelines starts them: from images in the bucket to a gated version."""

import pytest

from audit import AuditLog
from imaging.registry.session import signed_in
from tests.containers.player import Cluster
from tests.containers.training import TRAINER, Containers, Trained

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]


def test_a_pipeline_in_containers_registers_a_gated_and_signed_version(cluster: Cluster, trained: Trained) -> None:
    with signed_in(cluster.settings("trainer")) as client:
        tags = client.get_model_version("chest-xray", trained.version).tags
        aliases = client.get_registered_model("chest-xray").aliases
    assert (tags["gates"], tags["author"], tags["image.digest"]) == ("passed", "trainer", TRAINER)
    assert trained.version in aliases.values()
    said = {event.action: event for event in AuditLog(cluster.folder / "record").events()}
    assert {"dataset.created", "gate.evaluated", "model.registered"} <= said.keys()
    assert said["gate.evaluated"].subject == trained.digest


def test_a_step_that_fails_fails_the_run_with_its_own_words(containers: Containers) -> None:
    done = containers.run(labels="absent.csv")
    assert done.returncode != 0
    assert "absent.csv" in done.stdout
    assert "train-model" not in done.stdout
