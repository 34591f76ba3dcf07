"""The training pipeline by its command for digits, colour folders and one-logit X-rays, with a real registry."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import AuditLog
from imaging.models.directory import load_info
from imaging.registry import Registry, VersionInfo
from imaging.registry.session import signed_in
from tests.pipelines.easy_pictures import write_colours, write_digits, write_two_classes
from thorax import stack
from thorax.stack.environment import environment, settings_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose stack is up; this process acts as the trainer."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("THORAX_")]:
        del os.environ[name]
    root = tmp_path_factory.mktemp("kinds")
    try:
        stack.up(root / "home")
        os.environ.update(environment(root / "home", "trainer"))
        yield root
    finally:
        stack.down(root / "home")
        os.environ.clear()
        os.environ.update(before)


def run(recipe: str, data: Path, *options: str, **changes: Any) -> dict[str, Any]:
    """Run the pipeline by its command; return what it printed."""
    given = [word for name, value in changes.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    thorax = [sys.executable, "-c", "from thorax.cli import main; main()", "pipelines", "run", "train-classifier"]
    asked = [*thorax, "--recipe", recipe, "--data", str(data), "--json", *options, *given]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def registered(place: Path, model: str, version: str) -> VersionInfo:
    return Registry.from_settings(settings_for(place / "home", "trainer"), model).get(version)


def answers(result: dict[str, Any]) -> dict[str, str]:
    rows = result["gates"]["results"]
    return {row["gate"]: "pass" if row["passed"] else "fail" if row["applies"] else "not applicable" for row in rows}


def stage(epochs: int, **changes: Any) -> list[dict[str, Any]]:
    one = {"name": "all", "epochs": epochs, "trainable": "all", "lr": 3e-3, "schedule": "one_cycle", "augment": False}
    return [{**one, **changes}]


def test_digits_go_from_the_benchmarks_files_to_a_registered_model_of_their_own(place: Path) -> None:
    digits = write_digits(place / "digits")
    result = run("lenet5_mnist", digits, "--keep-split", stages=stage(6), batch_size=16)
    package = Path(result["outputs"]["package-model"]["package"])
    info, evaluation = load_info(package), json.loads((package / "evaluation.json").read_text())
    settings = settings_for(place / "home", "trainer")
    version = registered(place, "mnist", result["version"])
    with signed_in(settings) as client:
        found = client.get_run(version.run_id).data

    assert (info.name, info.subject, info.packed_size, info.packed_channels) == ("mnist", "picture", 28, 1)
    assert (evaluation["n_images"], len(evaluation["classes"])) == (320, 10)
    assert version.aliases == ("challenger",)
    assert answers(result)["critical_sensitivity"] == answers(result)["subgroup_gap"] == "not applicable"
    assert {"val_loss", "train_accuracy", "images_per_s", "test.overall.accuracy.low"} <= found.metrics.keys()
    assert found.params["registered_model"] == "mnist"
    assert Registry.from_settings(settings).versions() == []
    (event,) = AuditLog(place / "home" / "audit").events(action="model.registered")
    assert event.subject == f"mnist/{result['version']}"


def test_what_was_not_asked_every_gate_has_no_passed_gates_on_the_releases_record(place: Path) -> None:
    """So that no package of a picture could serve, whatever it were registered as."""
    from serving.release.record import ReleaseRecord

    log = AuditLog(place / "home" / "audit")
    digests = {event.subject for event in log.events(action="gate.evaluated")}
    assert digests
    assert not any(ReleaseRecord(log).gates_passed(digest) for digest in digests)


def test_colour_folders_become_a_registered_model_that_sees_colour(place: Path) -> None:
    result = run("folder_cnn", write_colours(place / "colours"), stages=stage(2), **{"input.size": 40})
    package = Path(result["outputs"]["package-model"]["package"])
    info = load_info(package)

    assert (info.packed_channels, info.packed_size, info.classes) == (3, 40, ("blue", "green", "red"))
    assert registered(place, "pictures", result["version"]).tags["gates"] == "passed"
    assert json.loads((package / "evaluation.json").read_text())["overall"]["accuracy"]["value"] > 0.9


def test_one_logit_for_x_rays_meets_every_gate_and_is_not_the_served_model(place: Path) -> None:
    images = write_two_classes(place / "two")
    changes = {"architecture": "small_cnn", "stages": stage(6), "batch_size": 16, "pretrained": False}
    changes |= {"input.size": 64, "augment": {}, "dropout": 0.0}
    result = run("densenet121_pneumonia", images, "--labels", "labels.csv", **changes)
    package = Path(result["outputs"]["package-model"]["package"])
    info = load_info(package)

    assert (info.single_logit, info.critical_classes) == (True, ("pneumonia",))
    assert set(info.operating_points) == {"pneumonia"}
    assert set(answers(result).values()) == {"pass"}
    assert registered(place, info.name, result["version"]).tags["recipe"] == "densenet121_pneumonia"
    assert info.name != "chest-xray"
