"""Finished steps that a later run may reuse, checked file by file before they are.

KFP's own local cache trusts any path that exists and never hits for artifacts without a file (metrics).
This one keeps, beside the outputs, what their files were, and answers only while they still are that; an
artifact that carries a `digest` counts by it and not by its place, so the same dataset ingested twice
is the same input.
"""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.local.cache import LocalCache

from imaging.atomic import write_text

_HASHED_UP_TO = 64 * 2**20
"""Bytes; a larger file is recognised by its size and time."""

Stamp = list[list[Any]] | None


class StepCache(LocalCache):
    """KFP's local cache with entries that are whole, and outputs that are what they were."""

    @staticmethod
    def _serialize_value_for_key(value: Any) -> Any:
        if isinstance(value, dsl.Artifact) and value.metadata.get("digest"):
            return {"schema": type(value).schema_title, "digest": value.metadata["digest"]}
        if isinstance(value, dict):
            return {name: StepCache._serialize_value_for_key(item) for name, item in value.items()}
        if isinstance(value, list):
            return [StepCache._serialize_value_for_key(item) for item in value]
        return LocalCache._serialize_value_for_key(value)

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keep the outputs of a step that ended well, with the stamps of their files."""
        stamps = {artifact.uri: stamp(Path(artifact.path)) for artifact in _artifacts(outputs)}
        entry = {"outputs": self._serialize_outputs(outputs), "stamps": stamps}
        write_text(Path(self._entry_path(key)), json.dumps(entry))

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the outputs kept under `key`, or None unless every file is what it was."""
        entry = None
        with contextlib.suppress(OSError, ValueError):
            entry = json.loads(Path(self._entry_path(key)).read_text())
        if not isinstance(entry, dict) or not {"outputs", "stamps"} <= entry.keys():
            return None
        if any(stamp(Path(path)) != kept for path, kept in entry["stamps"].items()):
            return None
        return {name: _restored(value) for name, value in entry["outputs"].items()}


def stamp(path: Path) -> Stamp:
    """Return name, size and digest (or time, if large) of each file of an artifact; None where there is none."""
    if not path.exists():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [[str(file.relative_to(path)), *_facts(file)] for file in files]


def _facts(file: Path) -> tuple[int, str]:
    found = file.stat()
    if found.st_size > _HASHED_UP_TO:
        return found.st_size, str(found.st_mtime_ns)
    return found.st_size, hashlib.sha256(file.read_bytes()).hexdigest()


def _artifacts(outputs: dict[str, Any]) -> list[dsl.Artifact]:
    found: list[dsl.Artifact] = []
    for value in outputs.values():
        found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dsl.Artifact)]
    return found


def _restored(value: Any) -> Any:
    """Return a kept output as KFP had it, without asking that an artifact has a file."""
    from kfp.dsl.executor import create_artifact_instance

    if isinstance(value, dict) and "__kfp_artifact__" in value:
        kind = {"schemaTitle": value["schema_title"]}
        return create_artifact_instance(
            {"name": value["name"], "uri": value["uri"], "metadata": value["metadata"], "type": kind}
        )
    if isinstance(value, dict) and "__kfp_artifact_list__" in value:
        return [_restored(item) for item in value["artifacts"]]
    return value
