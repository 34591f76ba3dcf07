"""Every command of the README, run as it stands, on what `make demo` left."""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
FOR_A_CLUSTER = [block for block in BLOCKS if block.startswith("# needs a cluster")]
BY_MAKE = [block for block in BLOCKS if block.startswith("make ")]
HERE = [block for block in BLOCKS if block not in FOR_A_CLUSTER + BY_MAKE]


@pytest.fixture(scope="module", autouse=True)
def _demo_is_up() -> None:
    """`.ci/run` runs this file after `make demo`, by which its commands are meant."""
    if os.environ.get("THORAX_README") != "1":
        pytest.skip("the README's commands need the demo: run `make readme` after `make demo`")
    assert (ROOT / ".thorax" / "demo" / "index.html").is_file()


@pytest.mark.parametrize("block", HERE, ids=lambda block: block.split("\n")[0][:50])
def test_a_block_of_the_readme_runs_as_it_stands(block: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "THORAX_HOME"}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}:{environment['PATH']}"
    script = f"set -euo pipefail\n{block}"
    ended = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 0, f"{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"


def test_what_make_does_is_what_continuous_integration_does() -> None:
    run_by_ci = (ROOT / ".ci" / "run").read_text()
    for line in "".join(BY_MAKE).splitlines():
        target = line.split()[1]
        assert re.search(rf"make .*\b{target}\b", run_by_ci), f"`make {target}` is promised and never run"


def test_every_other_block_is_run_here_or_marked() -> None:
    assert len(HERE) >= 5
    assert len(FOR_A_CLUSTER) == 1
