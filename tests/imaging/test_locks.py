import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from imaging.errors import ServiceError
from imaging.locks import locked, locked_if_free

SPAWN = multiprocessing.get_context("spawn")


def hold(path: str, held: object) -> None:
    with locked(Path(path), within_s=1, busy="busy"):
        held.set()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock, until it is killed."""
    held = SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(str(tmp_path / "lock"), held))
    process.start()
    assert held.wait(30)
    yield process
    process.kill()
    process.join()
    process.close()


def test_another_holder_is_waited_for_and_then_told_of(tmp_path: Path, holder) -> None:
    with (
        pytest.raises(ServiceError, match="another is at work"),
        locked(tmp_path / "lock", within_s=0.3, busy="another is at work"),
    ):
        pytest.fail("two have it")
    with locked_if_free(tmp_path / "lock") as free:
        assert not free


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path, holder) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    with locked(tmp_path / "lock", within_s=10, busy="still held"):
        pass
    with locked_if_free(tmp_path / "lock") as free:
        assert free


def test_it_is_let_go_of_though_the_block_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", within_s=0, busy=""):
        _ = 1 / 0
    with locked_if_free(tmp_path / "lock") as free:
        assert free
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
