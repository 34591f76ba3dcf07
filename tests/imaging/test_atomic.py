import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imaging.atomic import new_directory

KILLED = (
    "import sys, time; from pathlib import Path; from imaging.atomic import new_directory\n"
    "with new_directory(Path(sys.argv[1])) as new:\n"
    "    (new / 'half').write_text('half'); time.sleep(60)\n"
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "version"
    with new_directory(target) as first:
        (first / "one").write_text("first")
        with new_directory(target) as second:
            (second / "two").write_text("second")
        assert names(target) == ["two"]
        (first / "more").write_text("first")
    assert names(target) == ["more", "one"]
    assert names(tmp_path) == ["version"]


def test_many_writers_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "version"
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                with new_directory(target) as new:
                    for name in ("a", "b", "c"):
                        (new / name).write_text(str(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({(target / name).read_text() for name in ("a", "b", "c")}) == 1
    assert names(tmp_path) == ["version"]


def test_a_folder_whose_name_begins_alike_is_left_alone(tmp_path: Path) -> None:
    with new_directory(tmp_path / "version.two") as longer:
        (longer / "kept").write_text("kept")
        with new_directory(tmp_path / "version"):
            pass
    assert names(tmp_path / "version.two") == ["kept"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "version"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(target)], cwd=Path(__file__).parents[2]) as writer:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".version.*.tmp/half")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with new_directory(tmp_path / "version") as new:
            assert len(list(tmp_path.glob(".version.*.tmp"))) == 2
        writer.send_signal(signal.SIGKILL)
    with new_directory(target) as new:
        (new / "whole").write_text("whole")
    assert names(tmp_path) == ["version"]
    assert names(target) == ["whole"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "version"
    with new_directory(target) as new:
        (new / "old").write_text("old")

    def fail() -> None:
        with new_directory(target) as new:
            (new / "new").write_text("new")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()
    assert names(tmp_path) == ["version"]
    assert names(target) == ["old"]
