"""The model that a candidate has to match."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imaging.registry.probe import champion_version
from imaging.registry.session import MODEL_NAME
from imaging.registry.versions import Registry
from imaging.settings import Settings


@contextlib.contextmanager
def current_champion(settings: Settings, model: str = MODEL_NAME) -> Iterator[tuple[str, Path | None]]:
    """Yield the version of `model`'s champion and its verified directory; ("", None) where nobody is champion.

    Raises:
        ModelPackageError: if what the registry gives is not what was registered.
        ServiceError: if the registry does not answer.
    """
    version = champion_version(settings, model)
    if not version:
        yield "", None
        return
    from imaging.models.directory import verify_package

    registry = Registry.from_settings(settings, model)
    with tempfile.TemporaryDirectory() as scratch:
        directory = registry.download(version, Path(scratch) / "champion")
        verify_package(directory, registry.get(version).tags["package.digest"])
        yield version, directory
