"""Keep the released version serving: load it where TorchServe lost it, mend it where none of its workers gets ready."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imaging.settings import Settings
from serving.archive import build_archive, worker_config
from serving.errors import ModelLoadError
from serving.packages import fetch_package
from serving.parties import ModelServer, Versions
from serving.release.state import Served, load_state, save_state

GRACE_S = 30.0
"""How long a registered version may be without a READY worker: TorchServe starts a worker that died by itself."""
FORGOTTEN_AFTER_S = 600.0
"""Nobody looked meanwhile, or the clock was set: the time without a worker is counted anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeper:
    """What it takes to load the version that serves."""

    folder: Path
    store: Path
    registry: Versions
    server: ModelServer
    clock: Callable[[], float]
    settings: Settings
    """Say whose signature on a package is trusted."""

    def keep(self, serving: Served | None) -> bool:
        """Load what should serve if TorchServe lost it, or has had no worker for it; return whether it had to.

        Raises:
            ModelLoadError: it does not load.
            ModelPackageError: its archive has to be built again, and the package is not the released one.
        """
        if serving is None:
            return False
        loaded = self.server.loaded().get(serving.version)
        is_registered = loaded is not None and loaded.archive == serving.archive
        is_ready = loaded is not None and loaded.is_ready
        is_missing = not is_registered or self._is_past_grace(is_ready=is_ready)
        if is_missing:
            if is_registered or not (self.store / serving.archive).is_file():
                self._build(serving)
            if loaded is not None:
                self._unload(serving.version)
            self._load(serving)
        if self.server.default() != serving.version:
            self.server.set_default(serving.version)
        return is_missing

    def _is_past_grace(self, *, is_ready: bool) -> bool:
        """Take note of since when no worker is ready; tell once for each grace that it is over."""
        state, now = load_state(self.folder), self.clock()
        since = state.unready_since
        waited = -1.0 if since is None else now - since
        is_over = not is_ready and GRACE_S <= waited < FORGOTTEN_AFTER_S
        counts_on = not is_ready and 0 <= waited < GRACE_S
        noted = since if counts_on else None if is_ready else now
        if noted != since:
            save_state(self.folder, state.model_copy(update={"unready_since": noted}))
        return is_over

    def _load(self, serving: Served) -> None:
        """Register and wait for a worker; an archive that TorchServe refuses is built again, once."""
        try:
            self.server.register(serving.archive)
        except ModelLoadError:
            self._build(serving)
            self.server.register(serving.archive)
        self.server.wait_until_ready(serving.version)

    def _build(self, serving: Served) -> None:
        """Write the archive from the package, verified again."""
        packages = self.folder / "packages"
        package = fetch_package(
            self.registry, packages, version=serving.version, digest=serving.digest, settings=self.settings
        )
        config = worker_config(self.settings.home)
        build_archive(package, version=serving.version, digest=serving.digest, store=self.store, config=config)

    def _unload(self, version: str) -> None:
        """Unload the version; TorchServe unloads a default one only when it is alone."""
        if self.server.default() == version:
            for other in self.server.loaded():
                if other != version:
                    self.server.unregister(other)
        self.server.unregister(version)
