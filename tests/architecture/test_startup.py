"""`thorax --help` answers quickly because nothing heavy is imported before a command runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "mlflow",
    "kfp",
    "kubernetes",
    "pandas",
    "numpy",
    "scipy",
    "sklearn",
    "pydicom",
    "evidently",
    "matplotlib",
    "sqlalchemy",
    "duckdb",
    "pyarrow",
    "boto3",
    "PIL",
    "captum",
    "torchmetrics",
)
COMMANDS = (
    [],
    ["data"],
    ["data", "phantom"],
    ["data", "ingest"],
    ["pipelines"],
    ["pipelines", "run"],
    ["train"],
    ["evaluate"],
    ["recipes"],
    ["recipes", "list"],
    ["models"],
    ["monitor"],
    ["audit"],
    ["predict"],
    ["demo"],
    ["up"],
    ["status"],
    ["down"],
    ["logs"],
    ["doctor"],
)
REPORT = "import json, sys; sys.stdout.write(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def python(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)


def heavy_modules(statement: str, *, root: Path) -> list[str]:
    """Which heavy libraries are loaded after `statement`, in a fresh interpreter."""
    done = python("-c", f"{statement}\n{REPORT}", root=root)
    assert done.returncode == 0, done.stderr
    return sorted(set(json.loads(done.stdout)) & set(HEAVY))


def test_the_command_line_imports_nothing_heavy(root: Path):
    assert heavy_modules("import thorax.cli", root=root) == []


@pytest.mark.parametrize("module", ["audit", "imaging.errors", "imaging.settings", "imaging.config", "imaging.atomic"])
def test_what_everything_imports_is_light(module: str, root: Path):
    assert heavy_modules(f"import {module}", root=root) == []


def test_a_heavy_import_is_noticed(root: Path):
    assert heavy_modules("import numpy", root=root) == ["numpy"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(["thorax", *command]))
def test_help_answers(command: list[str], root: Path):
    done = python("-c", "from thorax.cli import main; main()", *command, "--help", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Usage:" in done.stdout


def test_misuse_exits_with_2(root: Path):
    done = python("-c", "from thorax.cli import main; main()", "no-such-command", root=root)
    assert done.returncode == 2, done.stdout + done.stderr
