"""The browser's installation on machines of a few programs: what apt is asked, and what is said where it cannot."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "infra" / "chromium.sh"
REAL = ("bash", "cat", "chmod", "dirname", "env", "timeout")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs, the whole PATH: root's, with neither apt nor a browser."""
    for name in REAL:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    add(tmp_path, "id", "echo 0")
    return tmp_path


def add(machine: Path, name: str, script: str) -> None:
    (machine / name).write_text(f"#!{machine}/bash\n{script}\n")
    (machine / name).chmod(0o755)


def add_apt(machine: Path, *, installs: bool) -> None:
    browser = f"printf '#!{machine}/bash\\n' > {machine}/chromium; chmod +x {machine}/chromium"
    act = f'case "$*" in *--no-download*) {browser};; esac' if installs else "exit 100"
    add(machine, "apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {machine}/asked\n{act}')


def asked(machine: Path) -> list[str]:
    return (machine / "asked").read_text().splitlines() if (machine / "asked").exists() else []


def run(machine: Path) -> str:
    command = [str(machine / "bash"), str(SCRIPT)]
    done = subprocess.run(command, env={"PATH": str(machine)}, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_a_missing_browser_is_installed_without_a_question(machine):
    add_apt(machine, installs=True)
    assert run(machine) == ""
    assert [line.split()[-1] for line in asked(machine)] == ["update", "chromium", "chromium"]
    assert all(line.startswith("noninteractive ") for line in asked(machine))


def test_a_browser_that_is_there_is_left_alone(machine):
    add(machine, "chromium", "")
    add_apt(machine, installs=True)
    assert run(machine) == ""
    assert asked(machine) == []


def test_without_a_network_it_is_said_and_nothing_fails(machine):
    add_apt(machine, installs=False)
    assert run(machine).startswith("SKIPPED ")
    assert [line.split()[-1] for line in asked(machine)] == ["update"]


@pytest.mark.parametrize("sudo", ["", "exit 1"], ids=["no sudo", "sudo asks for a password"])
def test_who_may_not_install_is_told(machine, sudo):
    add(machine, "id", "echo 1000")
    add_apt(machine, installs=True)
    if sudo:
        add(machine, "sudo", sudo)
    assert run(machine).startswith("SKIPPED ")
    assert asked(machine) == []


def test_a_machine_without_apt_is_told(machine):
    assert run(machine).startswith("SKIPPED ")
