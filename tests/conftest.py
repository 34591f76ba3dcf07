"""Shared by all tests: one thread for tiny tensors, the golden option, and where real images are."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("thorax", deadline=None)
settings.load_profile("thorax")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell's background job ignores Ctrl-C and so would all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="rewrite the golden files")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny convolutions run several times faster without threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """What a test draws does not depend on which tests ran before it."""
    import numpy as np
    import torch

    torch.manual_seed(0)
    np.random.seed(0)  # libraries that draw from numpy's own state


@pytest.fixture
def update_goldens(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-goldens"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sample images; the test is skipped, aloud, where there is none."""
    place = Path(os.environ.get("THORAX_DATA", "../shared/data"))
    if not (place / "xray3" / "manifest.csv").is_file():
        pytest.skip(f"no real images at {place}: set THORAX_DATA")
    return place.resolve()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty THORAX_HOME of the test's own, and no THORAX_* variable from outside."""
    for name in list(os.environ):
        if name.startswith(("THORAX_", "MLFLOW_TRACKING")) and name != "THORAX_DATA":
            monkeypatch.delenv(name)
    place = tmp_path / "home"
    monkeypatch.setenv("THORAX_HOME", str(place))
    return place
