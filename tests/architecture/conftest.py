"""The files that the rules are about: what git tracks, or would."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "thorax",
    "pipelines",
    "components",
    "imaging",
    "audit",
    "serving",
    "monitoring",
    "benchmarks",
    "infra",
    "tests",
)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[str]:
    """Every file of the repository, tracked or about to be, by its path from the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    names = done.stdout.split("\0") if done.returncode == 0 else _walked()
    return sorted(name for name in names if name and (ROOT / name).is_file())


def _walked() -> list[str]:
    """The same without git, as in an unpacked archive."""
    places = [ROOT.glob("*"), *((ROOT / package).rglob("*") for package in PACKAGES)]
    return [str(path.relative_to(ROOT)) for place in places for path in place if "__pycache__" not in path.parts]


@pytest.fixture(scope="session")
def sources(files: list[str]) -> dict[str, str]:
    """The text of every Python file of ours."""
    ours = [name for name in files if name.endswith(".py") and name.split("/")[0] in PACKAGES]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in ours}


@pytest.fixture(scope="session")
def texts(files: list[str]) -> dict[str, str]:
    """Every file that is text."""
    found = {}
    for name in files:
        try:
            found[name] = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found
