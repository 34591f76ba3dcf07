"""Which model serves, as the release controller left it in `home/release/state.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging.errors import NotFoundError, ServiceError


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """The champion in service."""

    version: str
    digest: str
    package: Path
    """Its model directory, verified and kept by the release."""

    @property
    def recipe(self) -> str:
        """Name of the recipe it was trained by; empty where the package does not say."""
        try:
            return str(json.loads((self.package / "model.json").read_text()).get("recipe", ""))
        except (OSError, ValueError):
            return ""


def served_model(home: Path) -> ServedModel:
    """Return the model that serves.

    Raises:
        NotFoundError: when none does, or its model directory is gone.
        ServiceError: when the controller's state cannot be read.
    """
    path = home / "release" / "state.json"
    try:
        serving: dict[str, Any] | None = json.loads(path.read_text()).get("serving")
    except FileNotFoundError:
        serving = None
    except (ValueError, AttributeError) as error:
        raise ServiceError(f"{path.name} of the release is no state; see `thorax logs controller`") from error
    if not serving:
        raise NotFoundError("no model serves: approve a version first, as in `thorax models approve 1 --as approver`")
    named = serving.get("package")
    package = Path(named) if named else Path("release/packages") / str(serving.get("archive", "")).removesuffix(".mar")
    package = package if package.is_absolute() or (named and package.is_dir()) else home / package
    if not (package / "model.json").is_file():
        raise NotFoundError(f"the model directory of version {serving['version']} is gone from the release folder")
    return ServedModel(version=str(serving["version"]), digest=str(serving["digest"]), package=package)
