"""Everything that a release touches, and what each part of it does with them."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imaging.settings import Settings
from serving.parties import ModelServer, Versions
from serving.release.record import ReleaseRecord
from serving.release.state import load_state
from serving.release.traffic import Target
from serving.release_gate import ReleaseGate

Outcome = Literal["unchanged", "released", "reloaded", "rolling_out", "paused", "refused", "rolled_back", "unavailable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseResult:
    """What one reconciliation did."""

    outcome: Outcome
    serving: str | None
    """The version that serves afterwards."""
    version: str | None = None
    """The version it was about, where that is another one."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Registry, server, traffic, record, and where the release keeps what it knows."""

    folder: Path
    store: Path
    champion: Callable[[], str]
    """The version with the alias `champion`, or ""."""
    registry: Versions
    server: ModelServer
    target: Target
    record: ReleaseRecord
    smoke_test: Callable[..., None]
    settings: Settings
    """Say whose signature on a package is trusted, and by which plan a version is rolled out."""
    shadow_token: str = ""
    """What the edge's copies of requests present; without one there is no shadow."""
    clock: Callable[[], float] = time.time
    """Seconds; kept in the state, so that another process goes on counting."""

    @property
    def gate(self) -> ReleaseGate:
        """What lets a version answer: opened when its smoke test is passed, shut when it is asked no more."""
        return ReleaseGate.of(self.folder)

    def serving_version(self) -> str | None:
        """Return the version that serves."""
        serving = load_state(self.folder).serving
        return serving.version if serving else None

    def shut_for_all_but_serving(self) -> None:
        """Take their permission from versions that are asked no more, also from those of a killed release."""
        serving = load_state(self.folder).serving
        if serving:
            self.gate.admit_only(serving.version, serving.digest)
        else:
            self.gate.close()

    def unload_all_but(self, kept: Collection[str | None]) -> None:
        """Unload versions; nothing is asked of them any more."""
        for other in self.server.loaded():
            if other not in kept:
                self.server.unregister(other)

    def kept_loaded(self) -> set[str | None]:
        """Return what stays loaded: what serves, and the way back from it."""
        state = load_state(self.folder)
        return {served.version for served in (state.serving, state.previous) if served}

    def tag(self, version: str, status: str, reason: str) -> None:
        """Say in the registry where a version stands, and why."""
        self.registry.set_tag(version, "deployment.status", status)
        self.registry.set_tag(version, "deployment.reason", reason)

    def result(self, outcome: Outcome, *, version: str | None = None, reason: str = "") -> ReleaseResult:
        """Return what was done, with what serves now."""
        return ReleaseResult(outcome=outcome, serving=self.serving_version(), version=version, reason=reason)
