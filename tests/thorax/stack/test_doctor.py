import socket

import pytest

from thorax.stack.doctor import KNOWN_GOOD, Finding, _amount, _library, check_ports, examine
from thorax.stack.places import DEFAULT_PORTS, Places, save_ports


def test_every_finding_that_is_not_well_says_what_to_do(home):
    findings = examine(home)
    assert {"python", "java", "nginx", "rclone", "disk", "memory", "ports", "gpu", *KNOWN_GOOD} == {
        item.check for item in findings
    }
    assert all(item.advice for item in findings if item.level != "ok")


def test_looking_changes_nothing(home):
    examine(home)
    assert not home.exists()


def test_a_port_that_somebody_holds_is_told_and_blocks_nothing(home):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        save_ports(Places.of(home), {**DEFAULT_PORTS, "mlflow": port})
        finding = check_ports(Places.of(home))
    assert finding.level == "warning"
    assert str(port) in finding.found


@pytest.mark.parametrize(("amount", "level"), [(0.5, "blocks"), (5.0, "warning"), (50.0, "ok")])
def test_little_is_a_warning_and_too_little_blocks(amount, level):
    assert _amount("disk", amount, (2, 10), "", "free some space").level == level


def test_a_library_that_is_missing_blocks_and_another_version_warns():
    assert _library("no-such-library", "1").level == "blocks"
    assert _library("torch", "0.0.1").level == "warning"
    assert isinstance(_library("torch", KNOWN_GOOD["torch"]), Finding)
