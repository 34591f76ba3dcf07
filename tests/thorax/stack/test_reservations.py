import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from thorax.stack.ports import choose_ports
from thorax.stack.reservations import Reservations, folder_of_this_user

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from thorax.stack.reservations import Reservations
with Reservations(Path(sys.argv[1])) as held:
    print(held.take(int(sys.argv[2])), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_two_stacks_that_choose_at_one_moment_share_no_port(tmp_path, port):
    wanted = {"mlflow": port, "s3": port + 1}
    with Reservations(tmp_path) as one, Reservations(tmp_path) as other:
        first = choose_ports(wanted, take=one.take)
        second = choose_ports(wanted, take=other.take)
    assert not set(first.values()) & set(second.values())


def test_a_reservation_ends_with_its_up(tmp_path, port):
    with Reservations(tmp_path) as one:
        assert one.take(port)
    with Reservations(tmp_path) as other:
        assert other.take(port)


def test_a_reservation_ends_with_a_killed_holder(tmp_path, port):
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with Reservations(tmp_path) as ours:
            assert not ours.take(port)
            holder.kill()
            holder.wait(10)
            assert ours.take(port)


def test_a_port_where_somebody_listens_is_not_reserved(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, Reservations(tmp_path) as one:
        port = server.getsockname()[1]
        assert not one.take(port)
        server.close()
        with Reservations(tmp_path) as other:
            assert other.take(port)


def test_a_port_whose_file_is_a_link_to_elsewhere_is_not_followed(tmp_path, port):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / str(port)).symlink_to(tmp_path / "elsewhere")
    with Reservations(tmp_path / "locks") as one:
        assert not one.take(port)
    assert not (tmp_path / "elsewhere").exists()


def test_without_a_folder_a_free_port_is_taken(port):
    with Reservations(None) as one:
        assert one.take(port)


def test_the_folder_is_one_for_all_homes_and_closed_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = folder_of_this_user()
    assert folder is not None
    assert folder == folder_of_this_user()
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", ["link", "file", "open to others"])
def test_a_folder_that_somebody_else_prepared_is_not_used(tmp_path, monkeypatch, left):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"thorax-ports-{os.getuid()}"
    if left == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "theirs")
    elif left == "file":
        folder.touch(mode=0o600)
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert folder_of_this_user() is None
