"""Imports point one way: import-linter's contracts of pyproject.toml hold, and would be seen to break."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

CONFIG = """
[tool.importlinter]
root_packages = {packages}

[[tool.importlinter.contracts]]
name = "one way"
type = "layers"
layers = {layers}
"""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in `folder`, with that folder's packages first on the path."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {LINT}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def project(folder: Path, layers: list[str], modules: dict[str, str]) -> Path:
    """A small project: packages with the given source."""
    packages = sorted({name.split("/")[0] for name in modules})
    (folder / "pyproject.toml").write_text(CONFIG.format(packages=packages, layers=layers))
    for name, source in modules.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source)
    return folder


@pytest.fixture(scope="module")
def contracts(root: Path) -> dict[str, dict]:
    config = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"]: contract for contract in config["contracts"]}


def test_every_contract_is_kept(root: Path):
    done = lint(root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_is_the_architecture(contracts: dict[str, dict]):
    layers = contracts["Imports point one way"]["layers"]
    assert layers == ["thorax", "pipelines", "components", "serving | monitoring", "audit | imaging"]


def test_every_package_of_the_wheel_is_under_contract(root: Path):
    config = tomllib.loads((root / "pyproject.toml").read_text())["tool"]
    assert set(config["importlinter"]["root_packages"]) == set(config["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_every_part_of_imaging_is_in_a_layer(root: Path, contracts: dict[str, dict]):
    layers = {name.strip() for layer in contracts["Inside imaging"]["layers"] for name in layer.split("|")}
    folder = root / "imaging"
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert modules - layers - {"__init__"} == set()


def test_an_import_against_the_direction_is_noticed(tmp_path: Path):
    modules = {"upper/__init__.py": "", "lower/__init__.py": "def late():\n    import upper\n"}
    done = lint(project(tmp_path, ["upper", "lower"], modules))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lower -> upper" in done.stdout


def test_an_import_between_independent_neighbours_is_noticed(tmp_path: Path):
    modules = {"left/__init__.py": "", "right/__init__.py": "import left\n"}
    done = lint(project(tmp_path, ["left | right"], modules))
    assert done.returncode == 1, done.stdout + done.stderr


def test_an_import_along_the_direction_is_allowed(tmp_path: Path):
    modules = {"upper/__init__.py": "import lower\n", "lower/__init__.py": ""}
    done = lint(project(tmp_path, ["upper", "lower"], modules))
    assert done.returncode == 0, done.stdout + done.stderr
