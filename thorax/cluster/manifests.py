"""The manifests of an overlay, rendered by `kubectl kustomize`."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from imaging.errors import ConfigurationError, NotFoundError, ServiceError

INFRA = Path(__file__).resolve().parents[2] / "infra"
RENDER_WITHIN_S = 60
NOT_RELEASED = "sha256:" + "0" * 64
"""The digest of an image that nothing was released as."""


def overlays() -> list[str]:
    """Return the overlays there are."""
    return sorted(path.parent.name for path in (INFRA / "overlays").glob("*/kustomization.yaml"))


def kubectl() -> str:
    """Return the program.

    Raises:
        ServiceError: there is none.
    """
    own = INFRA.parent / "build" / "tools" / "kubectl"
    found = os.environ.get("KUBECTL") or shutil.which("kubectl") or (str(own) if own.exists() else None)
    if not found:
        raise ServiceError("kubectl is not installed; https://kubernetes.io/docs/tasks/tools says how")
    return found


def render(overlay: str) -> str:
    """Return an overlay's objects as YAML.

    Raises:
        NotFoundError: no such overlay. ConfigurationError: it does not render. ServiceError: there is no kubectl.
    """
    if overlay not in overlays():
        raise NotFoundError(f"no overlay {overlay!r}; there are: {', '.join(overlays())}")
    command = [kubectl(), "kustomize", str(INFRA / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RENDER_WITHIN_S, check=False)
    if done.returncode:
        raise ConfigurationError(f"the overlay {overlay} does not render: {done.stderr.strip()[:500]}")
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of a rendered overlay."""
    return [one for one in yaml.safe_load_all(text) if one]


def images(found: list[dict[str, Any]]) -> list[str]:
    """Return every image that pods of these objects run, each once."""
    specs = [spec for one in found for spec in pod_specs(one)]
    named = [box["image"] for spec in specs for box in containers(spec)]
    return list(dict.fromkeys(named))


def pod_specs(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pod specs inside an object, wherever its kind has them."""
    specs: list[dict[str, Any]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("containers"), list):
                specs.append(value)
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(found.get("spec"))
    return specs


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a pod's containers, first those that run before the others."""
    return [*spec.get("initContainers", []), *spec["containers"]]
