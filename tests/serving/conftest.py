"""One packaged random model for all serving tests, and a handler loaded from its archive."""

from pathlib import Path

import pytest

from serving.release_gate import ReleaseGate
from tests.serving.factories import Context, unpack_archive, write_light_package, write_package
from tests.signing import trust


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model directory and its digest."""
    directory = tmp_path_factory.mktemp("package") / "model"
    return directory, write_package(directory)


@pytest.fixture(scope="session")
def light_packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, str], ...]:
    """Two packages for releases that no network takes part in."""
    folder = tmp_path_factory.mktemp("light")
    return tuple((folder / str(seed), write_light_package(folder / str(seed), seed=seed)) for seed in (1, 2))


@pytest.fixture
def handler(package: tuple[Path, str], tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    """A handler as TorchServe initializes it, and its context."""
    from serving.handlers.chest_xray import ChestXrayHandler

    trust(home)
    monkeypatch.setenv("THORAX_MAX_IMAGE_PIXELS", "40000")
    context = Context(*unpack_archive(*package, tmp_path))
    ReleaseGate.of(home / "release").admit("7", package[1])
    handler = ChestXrayHandler()
    handler.initialize(context)
    return handler, context
