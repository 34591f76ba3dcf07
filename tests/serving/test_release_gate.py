"""Who may answer: the file between the release controller and the workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.release_gate import Released, ReleaseGate, may_answer
from tests.serving.world import World


@pytest.fixture
def gate(tmp_path) -> ReleaseGate:
    return ReleaseGate.of(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff", b'{"released": [{"version": "1"}]}'])
def test_a_gate_that_says_nothing_is_shut(gate, content):
    if content is not None:
        gate.path.write_bytes(content)
    assert not may_answer(gate.read(), "1", "sha256:a")


def test_a_version_answers_when_it_is_admitted_with_its_digest(gate):
    gate.admit("1", "sha256:a")
    assert may_answer(gate.read(), "1", "sha256:a")
    assert not may_answer(gate.read(), "1", "sha256:b")
    assert not may_answer(gate.read(), "2", "sha256:a")


def test_admitting_a_successor_takes_nothing_from_what_serves(gate):
    gate.admit("1", "sha256:a")
    gate.expect_smoke_test("2", "sha256:b")
    assert may_answer(gate.read(), "1", "sha256:a")
    assert not may_answer(gate.read(), "2", "sha256:b")
    gate.admit("2", "sha256:b")
    assert may_answer(gate.read(), "1", "sha256:a")
    assert may_answer(gate.read(), "2", "sha256:b")
    gate.admit_only("2", "sha256:b")
    assert not may_answer(gate.read(), "1", "sha256:a")


def test_only_the_token_of_this_smoke_test_gets_through(gate):
    old = gate.expect_smoke_test("2", "sha256:b")
    token = gate.expect_smoke_test("2", "sha256:b")
    assert may_answer(gate.read(), "2", "sha256:b", token=token)
    assert not may_answer(gate.read(), "2", "sha256:b", token=old)
    assert not may_answer(gate.read(), "3", "sha256:b", token=token)
    assert token not in gate.path.read_text()
    gate.admit_only("1", "sha256:a")
    assert not may_answer(gate.read(), "2", "sha256:b", token=token)


@given(token=st.text(max_size=60))
def test_no_guess_gets_through(token):
    told = {"version": "2", "digest": "sha256:b", "token_sha256": "0" * 64}
    assert not may_answer(Released.model_validate({"smoke_test": told}), "2", "sha256:b", token=token)


def test_a_lost_file_is_written_again_for_what_serves(tmp_path, light_packages):
    world = World(tmp_path, *light_packages)
    world.approve("1")
    world.reconcile()
    world.gate.path.unlink()
    assert not world.answers("1")
    assert world.reconcile().outcome == "unchanged"
    assert world.answers("1")


def test_a_torchserve_that_loads_another_version_first_lets_only_the_released_one_answer(tmp_path, light_packages):
    world = World(tmp_path, *light_packages)
    world.approve("1")
    world.reconcile()
    world.server.archives, world.server.current = {"2": "chest-xray-2-x.mar", **world.server.archives}, "2"
    assert not world.answers("2")
    assert world.answers("1")
    world.reconcile()
    assert world.server.current == "1"
