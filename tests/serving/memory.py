"""A registry and TorchServe's management in memory, with their rules."""

from dataclasses import replace
from pathlib import Path

from imaging.errors import NotFoundError, ServiceError
from imaging.registry import VersionInfo
from serving.errors import ModelLoadError
from serving.torchserve import LoadedVersion


class MemoryRegistry:
    """A registry in a dict; packages are folders on disk."""

    def __init__(self) -> None:
        self.known: dict[str, VersionInfo] = {}
        self.packages: dict[str, Path] = {}
        self.aliases: dict[str, str] = {}
        self.is_away = False

    def add(self, version: str, package: Path, digest: str, *, author: str = "trainer", gates: str = "passed") -> None:
        tags = {"gates": gates, "package.digest": digest}
        self.known[version] = VersionInfo(version=version, tags=tags, author=author)
        self.packages[version] = package

    def champion(self) -> str:
        self._answer()
        return self.aliases.get("champion", "")

    def get(self, version: str) -> VersionInfo:
        self._answer()
        if version not in self.known:
            raise NotFoundError(f"no version {version}")
        return self.known[version]

    def set_alias(self, version: str, alias: str) -> None:
        self._answer()
        self.aliases[alias] = version

    def delete_alias(self, alias: str) -> None:
        self._answer()
        self.aliases.pop(alias, None)

    def set_tag(self, version: str, key: str, value: str) -> None:
        info = self.get(version)
        self.known[version] = replace(info, tags={**info.tags, key: value})

    def download(self, version: str, dest: Path) -> Path:
        import shutil

        self.get(version)
        shutil.rmtree(dest, ignore_errors=True)
        shutil.copytree(self.packages[version], dest)
        return dest

    def tag(self, version: str, key: str) -> str:
        return self.known[version].tags.get(key, "")

    def _answer(self) -> None:
        if self.is_away:
            raise ServiceError("the registry does not answer")


class MemoryServer:
    """TorchServe's management in a dict, with its rules: the first version is the default; no default is unloaded."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.archives: dict[str, str] = {}
        self.current: str | None = None
        self.broken: set[str] = set()
        self.is_away = False
        self.gaps = 0
        """How often no version served although one had."""

    def loaded(self) -> dict[str, LoadedVersion]:
        self._answer()
        return {
            version: LoadedVersion(version=version, archive=archive, is_ready=version not in self.broken)
            for version, archive in self.archives.items()
        }

    def default(self) -> str | None:
        self._answer()
        return self.current

    def register(self, archive: str) -> None:
        self._answer()
        if not (self.store / archive).is_file():
            raise ModelLoadError(f"no archive {archive}")
        version = archive.split("-")[2]
        self.archives.setdefault(version, archive)
        self.current = self.current or version

    def wait_until_ready(self, version: str) -> None:
        self._answer()
        if version in self.broken:
            raise ModelLoadError(f"no worker of version {version} was ready")

    def set_default(self, version: str) -> None:
        self._answer()
        if version not in self.archives:
            raise ServiceError(f"version {version} is not loaded")
        self.current = version

    def drain(self, _version: str) -> None:
        self._answer()

    def unregister(self, version: str) -> None:
        self._answer()
        if version == self.current and len(self.archives) > 1:
            raise ServiceError("the default version cannot be unloaded")
        self.archives.pop(version, None)
        if version == self.current:
            self.current = None
            self.gaps += 1

    def restart(self) -> None:
        self.archives, self.current = {}, None

    def _answer(self) -> None:
        if self.is_away:
            raise ServiceError("TorchServe does not answer")
