"""Each step called in process, as KFP's `python_func`; the long ones run in tests/e2e."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from kfp import dsl

from audit import AuditLog
from components.check_gates import check_gates
from components.dataset_versions import link_tree
from components.evaluate_model import evaluate_model
from components.ingest_images import ingest_images
from components.split_dataset import split_dataset
from components.table import COMPONENTS
from imaging.data.dataset import load_dataset
from imaging.data.splits import PARTS, Split
from imaging.errors import ConfigurationError, DataError, GateFailureError
from pipelines.resources import NEEDS
from tests.imaging.registry.packages import write_folders
from tests.pipelines.easy_images import write_easy_images


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_easy_images(tmp_path / "images", patients=12)


def ingested(source: Path, out: Path, **options) -> dsl.Dataset:
    dataset = dsl.Dataset(uri=str(out))
    assert (
        ingest_images.python_func(dataset=dataset, source=str(source), size=32, **options) == dataset.metadata["digest"]
    )
    return dataset


def test_ingesting_makes_a_dataset_version_on_record(home: Path, images: Path, tmp_path: Path) -> None:
    dataset = ingested(images, tmp_path / "out", labels="labels.csv", name="easy")
    loaded = load_dataset(Path(dataset.path), check_digest=True)
    (event,) = AuditLog(home / "audit").events()

    assert (len(loaded), loaded.size, loaded.classes) == (36, 32, ("covid", "normal", "pneumonia"))
    assert (event.action, event.subject) == ("dataset.created", loaded.digest)
    assert event.details["counts"]["covid"] == {"images": 12, "patients": 12}


def test_ingesting_twice_gives_one_version_and_keeps_its_bytes_once(home: Path, images: Path, tmp_path: Path) -> None:
    first = ingested(images, tmp_path / "a", labels="labels.csv")
    second = ingested(images, tmp_path / "b", labels="labels.csv")

    assert first.metadata["digest"] == second.metadata["digest"]
    assert (Path(first.path) / "images.npy").samefile(Path(second.path) / "images.npy")
    assert len(list((home / "datasets").glob("dataset-*"))) == 1


def test_a_dataset_version_is_taken_as_it_is(home: Path, images: Path, tmp_path: Path) -> None:
    first = ingested(images, tmp_path / "a", labels="labels.csv")
    assert ingested(Path(first.path), tmp_path / "b").metadata == first.metadata


def test_a_changed_dataset_version_is_refused(home: Path, images: Path, tmp_path: Path) -> None:
    first = ingested(images, tmp_path / "a", labels="labels.csv")
    pixels = Path(first.path) / "images.npy"
    changed = bytearray(pixels.read_bytes())
    changed[-1] ^= 1
    pixels.write_bytes(changed)
    with pytest.raises(DataError):
        ingested(Path(first.path), tmp_path / "b")


def test_a_linked_tree_is_whole_and_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "deep" / "a").write_text("1")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("0")
    link_tree(tmp_path / "source", tmp_path / "target")

    assert [path.name for path in sorted((tmp_path / "target").rglob("*"))] == ["deep", "a"]


def test_splitting_writes_the_parts_and_their_sizes(home: Path, images: Path, tmp_path: Path) -> None:
    dataset = ingested(images, tmp_path / "a", labels="labels.csv")
    split = dsl.Artifact(uri=str(tmp_path / "split.json"))
    digest = split_dataset.python_func(dataset=dataset, split=split, seed=3)
    loaded = Split.load(Path(split.path))

    assert digest == split.metadata["digest"] == loaded.digest
    assert sum(split.metadata[part] for part in PARTS) == 36


def test_a_failing_gate_is_on_record_and_stops_the_run(home: Path, tmp_path: Path) -> None:
    package, evaluation, _ = write_folders(tmp_path)
    gates = dsl.Artifact(uri=str(tmp_path / "answers"))
    with pytest.raises(GateFailureError, match="gates failed, nothing is registered: "):
        check_gates.python_func(
            package=dsl.Model(uri=str(package)), evaluation=dsl.Artifact(uri=str(evaluation)), gates=gates
        )
    report = json.loads((tmp_path / "answers" / "gates.json").read_text())
    events = AuditLog(home / "audit").events(action="gate.evaluated")

    assert report["passed"] is False
    assert [(event.details["gate"], event.details["passed"]) for event in events] == [
        (result["gate"], result["passed"]) for result in report["results"]
    ]
    assert {event.details["table"] for event in events} == {report["table_digest"]}


@pytest.mark.parametrize(("now", "said"), [("7", "is 7 now"), ("", "is none now")])
def test_a_champion_that_changed_during_the_run_stops_the_comparison(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str, said: str
) -> None:
    monkeypatch.setattr("imaging.registry.current_champion", lambda settings, model: nullcontext((now, None)))
    monkeypatch.setattr("imaging.evaluation.evaluate_on_disk", lambda *folders, **options: None)
    package, *_ = write_folders(tmp_path)
    parts = {name: dsl.Artifact(uri=str(tmp_path / name)) for name in ("dataset", "split", "evaluation")}
    parts["model"] = dsl.Model(uri=str(package))

    with pytest.raises(ConfigurationError, match=f"was 6 at the start, {said}: run again"):
        evaluate_model.python_func(**parts, champion="6")
    assert evaluate_model.python_func(**parts, champion=now) == now
    assert evaluate_model.python_func(**parts, champion="unseen-1") == now


def test_every_component_is_named_for_its_step_and_has_needs() -> None:
    assert {name: component.name for name, component in COMPONENTS.items()} == {name: name for name in COMPONENTS}
    assert COMPONENTS.keys() == NEEDS.keys()


@pytest.mark.parametrize(
    "modules",
    [
        "components.dataset_versions",
        "imaging.data.splits",
        "imaging.registry, imaging.recipes, audit",
        "components.gate_record",
    ],
)
def test_light_steps_start_without_torch_and_without_kfps_compiler(modules: str) -> None:
    """Inside a step KFP hides `dsl.component`, so what steps import may not build one."""
    code = f"import {modules}, sys; sys.exit('torch' in sys.modules or 'mlflow' in sys.modules)"
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60).returncode == 0
