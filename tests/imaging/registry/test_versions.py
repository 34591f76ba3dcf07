"""On MLflow's own store in a file; what only a server can show is in tests/e2e."""

import json
from pathlib import Path

import pytest

from imaging.errors import GateFailureError, NotFoundError
from imaging.models.directory import package_digest
from imaging.registry import MODEL_NAME, Registry
from imaging.registry.session import signed_in
from imaging.settings import Settings
from tests.imaging.registry.packages import write_folders

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

ABOUT = {
    "recipe": "tiny",
    "trigger": "manual",
    "image_digest": "sha256:i",
    "params": {"seed": 0, "input": {"size": 32}},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def registry(store: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """One database for the module, since MLflow takes seconds to make one; each test registers its own weights."""
    monkeypatch.chdir(store)
    return Registry.from_settings(Settings(mlflow_uri=f"sqlite:///{store}/mlflow.db"))


def test_a_registered_package_carries_its_tags_its_description_and_the_alias_challenger(
    registry: Registry, tmp_path: Path
) -> None:
    folders = write_folders(tmp_path, weights=b"1")
    info = registry.get(registry.register(*folders, **ABOUT))

    assert info.aliases == ("challenger",)
    assert info.tags == {
        "gates": "passed",
        "gates.report": f"runs:/{info.run_id}/gates/gates.html",
        "package.digest": package_digest(folders[0]),
        "dataset.digest": "sha256:" + "d" * 64,
        "image.digest": "sha256:i",
        "recipe": "tiny",
        "trigger": "manual",
    }
    assert "| discrimination | passed | 0.9123 | 0.7 |" in info.description
    assert "For tests only." in info.description
    assert registry.by_alias("challenger") == info
    assert registry.by_alias("champion") is None


def test_its_run_tells_how_it_was_made(registry: Registry, tmp_path: Path) -> None:
    info = registry.get(registry.register(*write_folders(tmp_path, weights=b"2"), **ABOUT))
    with signed_in(registry._settings) as client:
        run = client.get_run(info.run_id)
        losses = client.get_metric_history(info.run_id, "val_loss")
        files = {
            file.path
            for folder in ("", "model", "evaluation", "gates", "plots")
            for file in client.list_artifacts(info.run_id, folder)
        }

    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "input.size": "32"}
    assert [(point.step, point.value) for point in losses] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert run.data.metrics["test.overall.macro_auroc"] == 0.95
    assert run.data.metrics["test.overall.macro_auroc.low"] == 0.912345
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == ["d" * 36]
    assert {"model/model.safetensors", "evaluation/evaluation.html", "gates/gates.json", "plots/curves.json"} <= files
    assert "evaluation/predictions.parquet" not in files


def test_the_same_package_is_registered_once(registry: Registry, tmp_path: Path) -> None:
    folders = write_folders(tmp_path, weights=b"3")
    first = registry.register(*folders, **ABOUT)
    count = len(registry.versions())

    assert registry.register(*folders, **ABOUT) == first
    assert len(registry.versions()) == count


def test_the_champion_is_not_made_its_own_challenger(registry: Registry, tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "a", weights=b"4")
    champion = registry.register(*folders, **ABOUT)
    registry.set_alias(champion, "champion")
    rival = write_folders(tmp_path / "b", weights=b"5", champion=package_digest(folders[0]))
    challenger = registry.register(*rival, **ABOUT)
    registry.register(*folders, **ABOUT)
    aliases = (registry.get(champion).aliases, registry.get(challenger).aliases)
    registry.delete_alias("champion")

    assert aliases == (("champion",), ("challenger",))
    assert registry.by_alias("champion") is None


def test_a_model_that_failed_a_gate_is_not_registered(registry: Registry, tmp_path: Path) -> None:
    before = registry.versions()
    with pytest.raises(GateFailureError, match="nothing is registered"):
        registry.register(*write_folders(tmp_path, weights=b"6", passed=False), **ABOUT)

    assert registry.versions() == before


def test_gates_about_another_package_register_nothing(registry: Registry, tmp_path: Path) -> None:
    package, evaluation, gates = write_folders(tmp_path, weights=b"11")
    (package / "model.safetensors").write_bytes(b"changed")
    before = registry.versions()
    with pytest.raises(GateFailureError, match="expected gates about the package sha256:"):
        registry.register(package, evaluation, gates, **ABOUT)
    report = json.loads((gates / "gates.json").read_text())
    del report["package_digest"]
    (gates / "gates.json").write_text(json.dumps(report))
    with pytest.raises(GateFailureError, match="got gates about none"):
        registry.register(package, evaluation, gates, **ABOUT)

    assert registry.versions() == before


def test_another_evaluation_than_the_packages_own_registers_nothing(registry: Registry, tmp_path: Path) -> None:
    package, evaluation, gates = write_folders(tmp_path, weights=b"12")
    (evaluation / "evaluation.json").write_text(json.dumps({"n_images": 91}))
    with pytest.raises(GateFailureError, match="the package's own evaluation"):
        registry.register(package, evaluation, gates, **ABOUT)


def test_a_model_compared_with_another_champion_than_todays_is_to_be_run_again(
    registry: Registry, tmp_path: Path
) -> None:
    folders = write_folders(tmp_path / "champion", weights=b"13")
    registry.set_alias(registry.register(*folders, **ABOUT), "champion")
    alone = write_folders(tmp_path / "alone", weights=b"14")
    compared = write_folders(tmp_path / "compared", weights=b"15", champion=package_digest(folders[0]))
    before = registry.versions()
    try:
        with pytest.raises(GateFailureError, match=r"got one with none: .* run the pipeline again"):
            registry.register(*alone, **ABOUT)
    finally:
        registry.delete_alias("champion")
    with pytest.raises(GateFailureError, match="the champion none, got one with sha256:"):
        registry.register(*compared, **ABOUT)

    assert len(registry.versions()) == len(before)
    assert registry.register(*alone, **ABOUT)


def test_what_is_downloaded_is_what_was_registered(registry: Registry, tmp_path: Path) -> None:
    package, *rest = write_folders(tmp_path, weights=b"7")
    version = registry.register(package, *rest, **ABOUT)
    fetched = registry.download(version, tmp_path / "fetched" / version)

    assert fetched == tmp_path / "fetched" / version
    assert package_digest(fetched) == package_digest(package)
    assert [path.name for path in fetched.parent.iterdir()] == [version]


def test_a_tag_can_be_set(registry: Registry, tmp_path: Path) -> None:
    version = registry.register(*write_folders(tmp_path, weights=b"8"), **ABOUT)
    registry.set_tag(version, "deployment.status", "serving")

    assert registry.get(version).tags["deployment.status"] == "serving"


def test_a_version_that_is_not_there_is_refused_with_those_there_are(registry: Registry, tmp_path: Path) -> None:
    version = registry.register(*write_folders(tmp_path, weights=b"9"), **ABOUT)
    with pytest.raises(NotFoundError, match=f"no version '99' of {MODEL_NAME}; there are: {version}"):
        registry.get("99")


def test_a_model_of_another_name_has_versions_aliases_and_a_champion_of_its_own(
    registry: Registry, tmp_path: Path
) -> None:
    digits = Registry.from_settings(registry._settings, "lenet5-mnist")
    before = [(info.version, info.aliases) for info in registry.versions()]
    folders = write_folders(tmp_path, weights=b"20", name="lenet5-mnist", not_applicable=True)
    version = digits.register(*folders, **ABOUT)
    digits.set_alias(version, "champion")

    assert [(info.version, info.aliases) for info in registry.versions()] == before
    assert digits.by_alias("champion").version == version
    assert "| subgroup_gap | not applicable | - | 0.05 |" in digits.get(version).description
    assert package_digest(digits.download(version, tmp_path / "fetched")) == package_digest(folders[0])


def test_a_package_is_registered_under_its_own_name_only(registry: Registry, tmp_path: Path) -> None:
    folders = write_folders(tmp_path, weights=b"21", name="lenet5-mnist")
    with pytest.raises(GateFailureError, match="expected a package of chest-xray, got one of lenet5-mnist"):
        registry.register(*folders, **ABOUT)


def test_what_is_served_is_not_registered_with_a_gate_that_was_not_asked(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(GateFailureError, match="did not"):
        registry.register(*write_folders(tmp_path, weights=b"22", not_applicable=True), **ABOUT)


def test_event_files_and_every_figure_of_an_epoch_are_in_the_run(registry: Registry, tmp_path: Path) -> None:
    package, evaluation, gates = write_folders(tmp_path, weights=b"23", name="lenet5-cnn")
    epoch = {"epoch": 1, "train_accuracy": 0.5, "images_per_s": 812.5, "data_share": 0.01, "stage": "all"}
    (package / "curves.json").write_text(json.dumps({"epochs": [epoch]}))
    (package / "tensorboard").mkdir()
    (package / "tensorboard" / "events.out.tfevents.1").write_bytes(b"events")
    report = json.loads((gates / "gates.json").read_text())
    digits = Registry.from_settings(registry._settings, "lenet5-cnn")
    (gates / "gates.json").write_text(json.dumps({**report, "package_digest": package_digest(package)}))
    run_id = digits.get(digits.register(package, evaluation, gates, **ABOUT)).run_id
    with signed_in(registry._settings) as client:
        run = client.get_run(run_id)
        files = [file.path for file in client.list_artifacts(run_id, "tensorboard")]
        profile = json.loads(run.inputs.dataset_inputs[0].dataset.profile)

    assert files == ["tensorboard/events.out.tfevents.1"]
    assert {name: run.data.metrics[name] for name in ("train_accuracy", "images_per_s", "data_share")} == {
        "train_accuracy": 0.5,
        "images_per_s": 812.5,
        "data_share": 0.01,
    }
    assert (profile["subject"], profile["size"], profile["channels"]) == ("radiograph", 32, 1)


def test_a_run_that_a_kill_left_open_is_closed_by_the_next_registration(registry: Registry, tmp_path: Path) -> None:
    folders = write_folders(tmp_path, weights=b"10")
    with signed_in(registry._settings) as client:
        experiment = client.get_experiment_by_name("train-classifier") or client.create_experiment("train-classifier")
        experiment_id = getattr(experiment, "experiment_id", experiment)
        open_run = client.create_run(experiment_id, tags={"package.digest": package_digest(folders[0])})
    registry.register(*folders, **ABOUT)
    with signed_in(registry._settings) as client:
        assert client.get_run(open_run.info.run_id).info.status == "KILLED"
