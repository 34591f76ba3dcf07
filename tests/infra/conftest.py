"""Each overlay rendered once, by the real kubectl; skipped aloud where there is none."""

import pytest

from imaging.errors import ServiceError
from thorax.cluster.manifests import kubectl, objects, overlays, render

OVERLAYS = overlays()


@pytest.fixture(scope="session")
def rendered() -> dict[str, str]:
    """The text of each overlay."""
    try:
        kubectl()
    except ServiceError:
        pytest.skip("no kubectl: the manifests are not looked at")
    return {overlay: render(overlay) for overlay in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def found(overlay: str, rendered: dict[str, str]) -> list[dict]:
    """The objects of one overlay."""
    return objects(rendered[overlay])
