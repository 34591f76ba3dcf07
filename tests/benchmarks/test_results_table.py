"""What benchmarks/README.md shows is what was measured."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))


def test_the_readme_shows_every_committed_result_and_no_other_figure() -> None:
    command = [sys.executable, str(BENCHMARKS / "results_table.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    _, _, rest = (BENCHMARKS / "README.md").read_text().partition("## Results\n")
    shown, _, _ = rest.partition("\n## ")
    assert printed.strip() in shown
    assert shown.count("\n### ") == len(RESULTS) > 0


def test_the_readme_of_serving_shows_the_endpoint_as_it_was_measured() -> None:
    command = [sys.executable, str(BENCHMARKS / "results_table.py"), "serving"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert len(printed.splitlines()) > 20
    assert printed.strip() in (BENCHMARKS.parent / "serving" / "README.md").read_text()


def test_the_readme_of_monitoring_shows_what_drift_is_found_as_it_was_measured() -> None:
    command = [sys.executable, str(BENCHMARKS / "drift_table.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert len(printed.splitlines()) > 8
    assert printed.strip() in (BENCHMARKS.parent / "monitoring" / "README.md").read_text()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_says_where_it_was_measured_and_holds_its_targets_or_says_that_it_does_not(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["benchmark"] == path.stem
    assert result["commit"]
    assert result["machine"]["cores"] >= 1
    for row in result["rows"]:
        if row["ours"] is None:
            assert row["holds"] is None, row["name"]
        elif row["target"] is not None:
            assert row["holds"] in (True, False), row["name"]


def test_the_evaluations_readme_shows_the_x_ray_recipes_as_they_were_measured() -> None:
    spec = importlib.util.spec_from_file_location("xray3_table", BENCHMARKS / "xray3_table.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    shown = made.README.read_text().partition(made.BEGIN)[2].partition(made.END)[0]
    assert shown.strip() == made.table(json.loads((BENCHMARKS / "results" / "xray3.json").read_text())).strip()
