"""The manifests of an overlay, rendered by `kubectl kustomize`."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from imaging.atomic import write_text
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


def name_images(overlay: str, images_by_digest: list[str]) -> Path:
    """Write which images an overlay runs, each as `registry/name@sha256:…`; others stay as they are.

    Raises:
        NotFoundError: no such overlay takes releases.
        ConfigurationError: an image without a digest, or not one of ours.
    """
    path = INFRA / "releases" / overlay / "kustomization.yaml"
    if not path.is_file():
        raise NotFoundError(f"the overlay {overlay!r} takes no releases")
    head = "".join(line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#"))
    kept = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = {row["name"].rsplit("/", 1)[-1]: row for row in kept["images"]}
    for image in images_by_digest:
        place, _, digest = image.partition("@")
        name = place.rsplit("/", 1)[-1].partition(":")[0]
        if name not in rows or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise ConfigurationError(f"expected one of {', '.join(rows)} as registry/name@sha256:…, got {image!r}")
        new_name = place.rsplit(":", 1)[0] if ":" in place.rsplit("/", 1)[-1] else place
        rows[name] |= {"digest": digest} | ({} if new_name == rows[name]["name"] else {"newName": new_name})
    write_text(path, head + yaml.safe_dump(kept, sort_keys=False))
    return path
