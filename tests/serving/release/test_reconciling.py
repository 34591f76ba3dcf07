"""The release step against a registry and a server in memory, with real packages, archives, state and audit log."""

import pickle
import shutil

import pytest

from imaging.models.directory import package_digest
from imaging.models.signature import sign_package
from imaging.settings import Settings
from tests.serving.factories import write_light_package
from tests.serving.world import World


@pytest.fixture
def world(tmp_path, light_packages) -> World:
    return World(tmp_path, *light_packages)


def test_a_champion_is_served(world):
    world.approve("1")
    result = world.reconcile()
    assert (result.outcome, result.serving) == ("released", "1")
    assert world.server.current == "1"
    assert world.registry.tag("1", "deployment.status") == "serving"
    assert world.actions() == ["release.started", "release.completed"]
    assert world.reconcile().outcome == "unchanged"
    assert world.actions() == ["release.started", "release.completed"]


def test_a_second_champion_replaces_the_first_without_a_gap(world):
    for version in ("1", "2"):
        world.approve(version)
        world.reconcile()
    assert world.server.gaps == 0
    assert world.registry.aliases == {"champion": "2", "previous": "1"}
    assert world.registry.tag("1", "deployment.status") == "retired"
    assert world.state().previous.version == "1"


@pytest.mark.parametrize("gates", ["failed", "", "Passed"])
def test_a_version_without_passed_gates_is_refused_and_the_alias_put_back(world, light_packages, gates):
    world.approve("1")
    world.reconcile()
    world.registry.add("3", *light_packages[0], gates=gates)
    world.approve("3")
    result = world.reconcile()
    assert (result.outcome, result.serving, result.version) == ("refused", "1", "3")
    assert world.registry.aliases["champion"] == "1"
    assert world.registry.tag("3", "deployment.status") == "refused"
    assert "gates=passed" in world.registry.tag("3", "deployment.reason")
    assert world.actions()[-1] == "approval.refused"
    assert world.reconcile().outcome == "unchanged"
    assert world.actions().count("approval.refused") == 1


def test_a_package_with_another_digest_is_refused(world, light_packages):
    world.registry.add("3", light_packages[0][0], "sha256:" + "0" * 64)
    world.approve("3")
    result = world.reconcile()
    assert result.outcome == "refused"
    assert "digest" in result.reason
    assert "champion" not in world.registry.aliases
    assert world.server.archives == {}


def test_a_version_its_author_approved_is_refused(world):
    world.approve("1", by="trainer")
    result = world.reconcile()
    assert result.outcome == "refused"
    assert "author" in result.reason


def test_a_champion_that_nobody_approved_is_refused_and_the_alias_put_back(world):
    world.approve("1")
    world.reconcile()
    world.pass_gates("2")
    world.registry.set_alias("2", "champion")
    result = world.reconcile()
    assert (result.outcome, result.serving, result.version) == ("refused", "1", "2")
    assert "nobody's approval is on record" in result.reason
    assert world.registry.aliases["champion"] == "1"
    assert set(world.server.archives) == {"1"}


def test_a_refusal_says_where_it_left_champion(world):
    world.registry.set_alias("2", "champion")
    world.reconcile()
    world.approve("1")
    world.reconcile()
    world.registry.set_alias("2", "champion")
    world.reconcile()
    refusals = world.log.events(action="approval.refused")
    assert [event.details["champion_put_back_to"] for event in refusals] == ["none", "1"]


def test_a_package_with_a_pickle_under_another_name_is_refused(world, tmp_path):
    package = tmp_path / "package"
    write_light_package(package)
    (package / "notes.txt").write_bytes(pickle.dumps(["anything"]))
    world.registry.add("3", package, package_digest(package))
    world.approve("3")
    result = world.reconcile()
    assert result.outcome == "refused"
    assert "notes.txt" in result.reason
    assert world.server.archives == {}


def test_a_package_that_nobody_signed_is_refused_with_what_to_do(world, light_packages, tmp_path):
    package = shutil.copytree(light_packages[0][0], tmp_path / "package")
    (package / "signature.json").unlink()
    world.registry.add("3", package, light_packages[0][1])
    world.approve("3")
    result = world.reconcile()
    assert result.outcome == "refused"
    assert "train-classifier` again" in result.reason
    assert world.actions() == ["approval.refused"]
    assert "nobody vouches" in world.log.events(action="approval.refused")[0].details["reason"]
    assert world.server.archives == {}


def test_a_package_signed_by_a_stranger_is_refused_and_the_old_version_serves_on(world, tmp_path):
    world.approve("1")
    world.reconcile()
    package = tmp_path / "package"
    write_light_package(package)
    sign_package(package, Settings(home=tmp_path / "stranger"))
    world.registry.add("3", package, package_digest(package))
    world.approve("3")
    result = world.reconcile()
    assert (result.outcome, result.serving) == ("refused", "1")
    assert "another key" in result.reason
    assert world.registry.aliases["champion"] == "1"


def test_a_serving_version_without_a_signature_is_told_and_keeps_no_successor_out(world, tmp_path):
    world.approve("1")
    world.reconcile()
    for folder in (world.registry.packages["1"], *(world.folder / "release" / "packages").iterdir()):
        world.registry.packages["1"] = shutil.copytree(folder, tmp_path / "old", dirs_exist_ok=True)
        (tmp_path / "old" / "signature.json").unlink()
        if folder.parent.name == "packages":
            (folder / "signature.json").unlink()
    world.server.restart()
    for archive in world.store.iterdir():
        archive.unlink()
    result = world.reconcile()
    assert result.outcome == "unavailable"
    assert "train-classifier` again" in result.reason
    world.approve("2")
    assert world.reconcile().serving == "2"


def test_the_approver_is_written_on_the_version(world):
    event = world.approve("1")
    world.reconcile()
    assert world.registry.tag("1", "approved_by") == "approver"
    assert world.registry.tag("1", "approved_at") == event.time


@pytest.mark.parametrize("fault", ["worker", "smoke"])
def test_a_model_that_does_not_work_is_rolled_back_while_the_old_one_serves(world, fault):
    world.approve("1")
    world.reconcile()
    (world.server.broken if fault == "worker" else world.wrong_answers).add("2")
    world.approve("2")
    result = world.reconcile()
    assert (result.outcome, result.serving) == ("rolled_back", "1")
    assert set(world.server.archives) == {"1"}
    assert world.server.gaps == 0
    assert world.registry.aliases["champion"] == "1"
    assert world.registry.tag("2", "deployment.status") == "rolled_back"
    assert world.actions()[-1] == "release.rolled_back"


def test_the_first_model_ever_that_does_not_work_leaves_nothing_serving(world):
    world.wrong_answers.add("1")
    world.approve("1")
    assert world.reconcile().outcome == "rolled_back"
    assert world.server.archives == {}
    assert "champion" not in world.registry.aliases


def test_a_restarted_torchserve_gets_the_champion_again(world):
    world.approve("1")
    world.reconcile()
    world.server.restart()
    assert world.reconcile().outcome == "reloaded"
    assert world.server.current == "1"


def test_a_lost_archive_is_built_again(world):
    world.approve("1")
    world.reconcile()
    world.server.restart()
    for archive in world.store.iterdir():
        archive.unlink()
    assert world.reconcile().outcome == "reloaded"
    assert world.server.current == "1"


@pytest.mark.parametrize("party", ["registry", "server"])
def test_what_does_not_answer_is_reported_and_tried_again(world, party):
    world.approve("1")
    world.reconcile()
    world.approve("2")
    away = getattr(world, party)
    away.is_away = True
    result = world.reconcile()
    assert (result.outcome, result.serving) == ("unavailable", "1")
    away.is_away = False
    assert world.reconcile().outcome == "released"


def test_with_the_registry_away_a_restarted_torchserve_still_gets_its_model(world):
    world.approve("1")
    world.reconcile()
    world.server.restart()
    world.registry.is_away = True
    assert world.reconcile().outcome == "unavailable"
    assert world.server.current == "1"


def test_a_deleted_alias_stops_nothing(world):
    world.approve("1")
    world.reconcile()
    world.registry.aliases.clear()
    result = world.reconcile()
    assert (result.outcome, result.serving) == ("unchanged", "1")
    assert "still serves" in result.reason


def test_a_serving_version_that_no_longer_loads_does_not_keep_its_successor_out(world):
    world.approve("1")
    world.reconcile()
    world.server.restart()
    world.server.broken.add("1")
    world.approve("2")
    assert world.reconcile().outcome == "released"
    assert world.server.current == "2"


def test_two_controllers_do_not_release_at_once(world):
    from imaging.errors import ServiceError
    from serving.release.state import release_lock

    folder = world.folder / "release"
    again = release_lock(folder, within_s=0.1)
    with release_lock(folder), pytest.raises(ServiceError, match="another release"):
        again.__enter__()


def test_a_tag_alone_is_no_evidence_of_gates(world, light_packages):
    world.registry.add("3", *light_packages[0])
    world.approve("3", gated=False)
    result = world.reconcile()
    assert result.outcome == "refused"
    assert "no passed gates" in world.registry.tag("3", "deployment.reason")


def test_a_gate_that_failed_on_record_outweighs_the_tag(world, light_packages):
    package, digest = light_packages[0]
    world.registry.add("3", package, digest)
    world.approve("3")
    world.log.append("gate.evaluated", actor="trainer", subject=digest, details={"gate": "latency", "passed": False})
    assert world.reconcile().outcome == "refused"
