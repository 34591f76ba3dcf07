"""Versions of a registered model: register, find, move aliases, fetch."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from imaging.atomic import new_directory
from imaging.errors import GateFailureError, NotFoundError
from imaging.registry.description import describe
from imaging.registry.recording import MODEL_FOLDER, Evidence, record_run
from imaging.registry.session import MODEL_NAME, signed_in
from imaging.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionInfo:
    """One version as the registry tells it."""

    version: str
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    source: str = ""
    run_id: str = ""
    author: str = ""
    """The MLflow user who registered it."""
    created_ms: int = 0
    """When, in milliseconds since 1970."""


class Registry:
    """The versions of one registered model, seen and changed as one MLflow user."""

    def __init__(self, settings: Settings, model: str = MODEL_NAME) -> None:
        self._settings = settings
        self.model = model

    @classmethod
    def from_settings(cls, settings: Settings, model: str = MODEL_NAME) -> Self:
        """Return a registry of `model` for the address and the user in `settings`."""
        return cls(settings, model)

    def register(
        self,
        package: Path,
        evaluation_dir: Path,
        gates_dir: Path,
        *,
        recipe: str,
        trigger: str,
        params: Mapping[str, Any] | None = None,
        image_digest: str = "",
        recent_dir: Path | None = None,
    ) -> str:
        """Register a packaged model that passed its gates, and make it the challenger.

        The same package is registered once: a retried step finds its version again and finishes it.

        Args:
            package: The final model directory.
            evaluation_dir: What `evaluate_model` wrote.
            gates_dir: What `check_gates` wrote.
            recipe: The recipe's name.
            trigger: Why it was trained: manual, drift or schedule.
            params: The training configuration, flat or nested.
            image_digest: The container image it was trained in.
            recent_dir: An evaluation on the newest images beside the champion, for those who decide.

        Returns:
            The version's number.

        Raises:
            GateFailureError: if the gates did not pass, or are about another package, evaluation or champion, or the
                package is of another registered model; nothing is registered.
            ServiceError: if MLflow does not answer.
        """
        evidence = Evidence.read(package, evaluation_dir, gates_dir, params=dict(params or {}), recent_dir=recent_dir)
        evidence.check()
        if evidence.model_name != self.model:
            raise GateFailureError(
                f"expected a package of {self.model}, got one of {evidence.model_name}; nothing is registered"
            )
        tags = {
            "gates": "passed",
            "package.digest": evidence.package_digest,
            "dataset.digest": evidence.dataset_digest,
            "image.digest": image_digest,
            "recipe": recipe,
            "trigger": trigger,
        }
        if self._settings.mlflow_username:
            tags["author"] = self._settings.mlflow_username
        with signed_in(self._settings) as client:
            _ensure_model(client, self.model)
            _check_champion(client, evidence)
            known = client.search_model_versions(
                f"name='{self.model}' and tag.`package.digest`='{evidence.package_digest}'"
            )
            version = str(max(int(v.version) for v in known)) if known else _create(client, evidence, tags)
            if "champion" not in client.get_model_version(self.model, version).aliases:
                client.set_registered_model_alias(self.model, "challenger", version)
        return version

    def versions(self) -> list[VersionInfo]:
        """Return every version, the newest first; none where nothing was ever registered."""
        with signed_in(self._settings) as client:
            found = client.search_model_versions(f"name='{self.model}'", max_results=1000)
            aliases = _aliases(client, self.model) if found else {}
        return sorted((_info(v, aliases) for v in found), key=lambda info: int(info.version), reverse=True)

    def get(self, version: str) -> VersionInfo:
        """Return one version.

        Raises:
            NotFoundError: if there is none; the message lists what there is.
        """
        for info in (known := self.versions()):
            if info.version == version:
                return info
        there = ", ".join(info.version for info in known) or "none"
        raise NotFoundError(f"no version {version!r} of {self.model}; there are: {there}")

    def by_alias(self, alias: str) -> VersionInfo | None:
        """Return the version that holds `alias`, if one does."""
        return next((info for info in self.versions() if alias in info.aliases), None)

    def set_alias(self, version: str, alias: str) -> None:
        """Move `alias` to `version`.

        Raises:
            ReleaseRefusedError: if this user may not.
        """
        with signed_in(self._settings) as client:
            client.set_registered_model_alias(self.model, alias, version)

    def delete_alias(self, alias: str) -> None:
        """Take `alias` away from whoever holds it."""
        with signed_in(self._settings) as client:
            client.delete_registered_model_alias(self.model, alias)

    def set_tag(self, version: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        with signed_in(self._settings) as client:
            client.set_model_version_tag(self.model, version, key, value)

    def keep(self, version: str, folder: Path, place: str) -> None:
        """Put a folder's files beside those of a version's run, under `place`.

        Raises:
            ServiceError: MLflow does not take them.
        """
        info = self.get(version)
        with signed_in(self._settings) as client:
            client.log_artifacts(info.run_id, str(folder), place)

    def download(self, version: str, dest: Path) -> Path:
        """Fetch a version's model directory to `dest`, whole or not at all.

        Whether it is what was registered is for the caller to verify, by its `package.digest` tag.
        """
        info = self.get(version)
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=dest.parent) as scratch:
            with signed_in(self._settings) as client:
                fetched = Path(client.download_artifacts(info.run_id, MODEL_FOLDER, scratch))
            with new_directory(dest) as new:
                shutil.copytree(fetched, new, dirs_exist_ok=True, copy_function=shutil.move)
        return dest


def _ensure_model(client: "MlflowClient", model: str) -> None:
    """Create the registered model on its first registration ever."""
    if not client.search_registered_models(f"name='{model}'"):
        about = "Chest X-ray classifier; decision support only." if model == MODEL_NAME else "Classifier; never served."
        client.create_registered_model(model, description=about)


def _check_champion(client: "MlflowClient", evidence: Evidence) -> None:
    """Refuse a package that was compared with another champion than today's; the champion itself is no rival."""
    champions = [version for version, aliases in _aliases(client, evidence.model_name).items() if "champion" in aliases]
    current = (
        str(client.get_model_version(evidence.model_name, champions[0]).tags.get("package.digest", "unknown"))
        if champions
        else ""
    )
    if current not in {evidence.compared_with, evidence.package_digest}:
        raise GateFailureError(
            f"expected a comparison with the champion {current or 'none'}, got one with "
            f"{evidence.compared_with or 'none'}: the champion changed meanwhile, nothing is registered; "
            "run the pipeline again, it compares with the new one"
        )


def _create(client: "MlflowClient", evidence: Evidence, tags: dict[str, str]) -> str:
    """Record a run and register its model directory, tags and description in one call."""
    run_id = record_run(client, evidence, tags)
    made = client.create_model_version(
        evidence.model_name,
        source=f"runs:/{run_id}/{MODEL_FOLDER}",
        run_id=run_id,
        tags={**tags, "gates.report": f"runs:/{run_id}/gates/gates.html"},
        description=describe(evidence, run=f"experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}"),
    )
    return str(made.version)


def _aliases(client: "MlflowClient", model: str) -> dict[str, tuple[str, ...]]:
    """Return the aliases of each version."""
    found: dict[str, list[str]] = {}
    for alias, version in client.get_registered_model(model).aliases.items():
        found.setdefault(str(version), []).append(alias)
    return {version: tuple(sorted(names)) for version, names in found.items()}


def _info(version: Any, aliases: dict[str, tuple[str, ...]]) -> VersionInfo:
    tags = dict(version.tags)
    return VersionInfo(
        version=str(version.version),
        aliases=aliases.get(str(version.version), ()),
        tags=tags,
        description=version.description or "",
        source=version.source or "",
        run_id=version.run_id or "",
        author=tags.get("author") or version.user_id or "",
        created_ms=version.creation_timestamp or 0,
    )
