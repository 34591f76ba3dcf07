"""The release step: make TorchServe serve what the registry's alias `champion` says, or put the alias back.

Level-triggered: `reconcile` looks at where things stand and does what is missing, so it may be killed
anywhere, run twice, or find TorchServe empty. Nothing stops serving before its successor answers.
"""

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from audit import default_folder
from imaging.errors import ModelPackageError, NotFoundError, ReleaseRefusedError, ServiceError, ThoraxError
from imaging.registry import Registry, VersionInfo, champion_version
from imaging.settings import Settings
from serving.archive import build_archive, keep_only, worker_config
from serving.client import ChestXrayClient
from serving.errors import ModelLoadError, SmokeTestError
from serving.keeping import Keeper
from serving.packages import fetch_package
from serving.parties import ModelServer, Versions
from serving.record import ReleaseRecord
from serving.release_gate import ReleaseGate
from serving.smoke import smoke_test
from serving.state import Pending, ReleaseState, Served, load_state, release_lock, save_state
from serving.torchserve import ManagementClient

Outcome = Literal["unchanged", "released", "reloaded", "refused", "rolled_back", "unavailable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseResult:
    """What one reconciliation did."""

    outcome: Outcome
    serving: str | None
    """The version that serves afterwards."""
    version: str | None = None
    """The version it was about, where that is another one."""
    reason: str = ""


def reconcile(settings: Settings) -> ReleaseResult:
    """Bring TorchServe to the champion once; safe to call at any time, from any process.

    Raises:
        ThoraxError: for what trying again does not mend, such as a missing address.
        AuditError: the record cannot be written; nothing is released without it.
    """
    home = settings.home.resolve()
    release = Release(
        folder=home / "release",
        store=home / "torchserve" / "model-store",
        champion=partial(champion_version, settings),
        registry=Registry.from_settings(settings),
        server=ManagementClient.from_settings(settings),
        record=ReleaseRecord.open(default_folder(home)),
        smoke_test=partial(smoke_test, ChestXrayClient.from_settings(settings)),
        settings=settings,
    )
    return release.run()


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One reconciliation with everything it touches."""

    folder: Path
    store: Path
    champion: Callable[[], str]
    """The version with the alias `champion`, or ""."""
    registry: Versions
    server: ModelServer
    record: ReleaseRecord
    smoke_test: Callable[..., None]
    settings: Settings
    """Say whose signature on a package is trusted."""
    clock: Callable[[], float] = time.time
    """Seconds; kept in the state, so that another process goes on counting."""

    @property
    def gate(self) -> ReleaseGate:
        """What lets a version answer: opened when its smoke test is passed, shut when it is unloaded."""
        return ReleaseGate.of(self.folder)

    def run(self) -> ReleaseResult:
        """Do what is missing; what does not answer is reported and tried at the next call."""
        with release_lock(self.folder):
            try:
                return self._reconcile()
            except ServiceError as error:
                return self._result("unavailable", reason=str(error))

    def _reconcile(self) -> ReleaseResult:
        reloaded, problem = self._try_to_keep_serving(load_state(self.folder).serving)
        self._finish_what_was_begun()
        champion = self.champion()
        state = load_state(self.folder)
        if state.pending and state.pending.version != champion:
            self._abandon(state.pending, f"champion moved to {champion or 'nobody'}")
        if champion and (state.serving is None or state.serving.version != champion):
            return self._release(champion)
        if problem:
            return self._result("unavailable", reason=problem)
        reason = "" if champion else "no version is champion" + ("; the last one still serves" if state.serving else "")
        return self._result("reloaded" if reloaded else "unchanged", reason=reason)

    def _try_to_keep_serving(self, serving: Served | None) -> tuple[bool, str]:
        """Load what should serve; a version that no longer loads is told, for it must not keep its successor out."""
        if serving:
            self.gate.admit(serving.version, serving.digest)
        keeper = Keeper(
            folder=self.folder,
            store=self.store,
            registry=self.registry,
            server=self.server,
            clock=self.clock,
            settings=self.settings,
        )
        try:
            return keeper.keep(serving), ""
        except (ModelLoadError, ModelPackageError, NotFoundError) as error:
            return False, f"the serving version does not load: {error}"

    def _release(self, version: str) -> ReleaseResult:
        pending = self._begin(version)
        try:
            info = self.registry.get(version)
            self._check(info)
            digest = info.tags["package.digest"]
            packages = self.folder / "packages"
            package = fetch_package(self.registry, packages, version=version, digest=digest, settings=self.settings)
        except (ReleaseRefusedError, ModelPackageError) as error:
            return self._refuse(pending, str(error))
        except NotFoundError as error:
            return self._refuse(pending, f"the registry has no files for it: {error}")
        self.record.once(pending, "release.started", {"digest": digest, "replaces": self._serving_version()})
        self.registry.set_tag(version, "deployment.status", "pending")
        config = worker_config(self.settings.home)
        archive = build_archive(package, version=version, digest=digest, store=self.store, config=config)
        candidate = Served(version=version, digest=digest, archive=archive.name)
        try:
            self._load(candidate)
            token = self.gate.expect_smoke_test(version, digest)
            request_id = f"smoke-{pending.release}"
            self.smoke_test(package, version=version, digest=digest, request_id=request_id, token=token)
        except (ModelLoadError, SmokeTestError) as error:
            return self._roll_back(pending, error)
        self.gate.admit(version, digest)
        self.server.set_default(version)
        state = load_state(self.folder)
        save_state(self.folder, ReleaseState(serving=candidate, previous=state.serving, pending=pending))
        self._finish_what_was_begun()
        return self._result("released", version=version)

    def _begin(self, version: str) -> Pending:
        state = load_state(self.folder)
        if state.pending is None:
            state = state.model_copy(update={"pending": Pending(release=uuid.uuid4().hex, version=version)})
            save_state(self.folder, state)
        return state.pending or Pending(release=uuid.uuid4().hex, version=version)

    def _check(self, info: VersionInfo) -> None:
        """Raise ReleaseRefusedError for a version that may not serve."""
        gates = info.tags.get("gates", "absent")
        if gates != "passed":
            raise ReleaseRefusedError(f"expected the tag gates=passed, got {gates}")
        if not info.tags.get("package.digest"):
            raise ReleaseRefusedError("the version has no package.digest tag to verify its files by")
        if not self.record.gates_passed(info.tags["package.digest"]):
            raise ReleaseRefusedError("the record holds no passed gates for this package; a tag alone is no evidence")
        approval = self.record.approval(info.version)
        if approval is None:
            raise ReleaseRefusedError("nobody's approval is on record; an approver has to make the version champion")
        if approval.actor == (info.tags.get("author") or info.author):
            raise ReleaseRefusedError("the approver is the author of the version; somebody else has to approve it")

    def _load(self, candidate: Served) -> None:
        loaded = self.server.loaded().get(candidate.version)
        if loaded is not None and loaded.archive != candidate.archive:
            self.server.unregister(candidate.version)
            loaded = None
        if loaded is None:
            self._shut_for_all_but_serving()
        self.server.register(candidate.archive)
        self.server.wait_until_ready(candidate.version)

    def _finish_what_was_begun(self) -> None:
        """Record a release whose version serves already: aliases, tags, audit event; unload the others."""
        state = load_state(self.folder)
        serving, pending = state.serving, state.pending
        if serving is None or pending is None or pending.version != serving.version:
            return
        self._unload_others(serving.version)
        self._shut_for_all_but_serving()
        if state.previous:
            self.registry.set_alias(state.previous.version, "previous")
            self._tag(state.previous.version, "retired", f"replaced by version {serving.version}")
        details = {"digest": serving.digest, "previous": state.previous.version if state.previous else None}
        approval = self.record.approval(serving.version)
        if approval:
            self.registry.set_tag(serving.version, "approved_by", approval.actor)
            self.registry.set_tag(serving.version, "approved_at", approval.time)
            meaning = self.registry.get(serving.version).tags.get("approval.meaning", "")
            details |= {"approved_by": approval.actor, "approved_at": approval.time, "meaning": meaning}
        self.record.once(pending, "release.completed", details)
        self._tag(serving.version, "serving", "")
        self._clean_up(state)
        save_state(self.folder, state.model_copy(update={"pending": None}))

    def _refuse(self, pending: Pending, reason: str) -> ReleaseResult:
        """Record the refusal and where it leaves `champion`, then give the alias back."""
        serving = self._serving_version()
        details = {"reason": reason, "serving": serving}
        if self.champion() == pending.version:
            details["champion_put_back_to"] = serving or "none"
        self.record.once(pending, "approval.refused", details)
        return self._put_back(pending, "refused", reason)

    def _roll_back(self, pending: Pending, error: ThoraxError) -> ReleaseResult:
        """Unload a version that does not work; the old one never stopped."""
        state = load_state(self.folder)
        if state.serving and self.server.default() != state.serving.version:
            self.server.set_default(state.serving.version)
        self.server.unregister(pending.version)
        self._shut_for_all_but_serving()
        details = {"reason": str(error), "code": error.code, "serving": self._serving_version()}
        self.record.once(pending, "release.rolled_back", details)
        return self._put_back(pending, "rolled_back", str(error))

    def _put_back(self, pending: Pending, status: Literal["refused", "rolled_back"], reason: str) -> ReleaseResult:
        """Tag the version and give `champion` back to what serves, unless somebody moved it meanwhile."""
        with contextlib.suppress(NotFoundError):  # deleted meanwhile
            self._tag(pending.version, status, reason)
        state = load_state(self.folder)
        if self.champion() == pending.version:
            if state.serving:
                self.registry.set_alias(state.serving.version, "champion")
            else:
                self.registry.delete_alias("champion")
        save_state(self.folder, state.model_copy(update={"pending": None}))
        return self._result(status, version=pending.version, reason=reason)

    def _abandon(self, pending: Pending, reason: str) -> None:
        """End a release that was killed half way and is no longer wanted."""
        self._unload_others(self._serving_version())
        self._shut_for_all_but_serving()
        outcomes = ("approval.refused", "release.rolled_back")
        if self.record.has(pending, "release.started") and not any(self.record.has(pending, one) for one in outcomes):
            details = {"reason": reason, "serving": self._serving_version()}
            self.record.once(pending, "release.rolled_back", details)
            self._tag(pending.version, "rolled_back", reason)
        state = load_state(self.folder)
        save_state(self.folder, state.model_copy(update={"pending": None}))

    def _shut_for_all_but_serving(self) -> None:
        """Take their permission from versions that are no longer loaded, also from those of a killed release."""
        serving = load_state(self.folder).serving
        if serving:
            self.gate.admit_only(serving.version, serving.digest)
        else:
            self.gate.close()

    def _unload_others(self, version: str | None) -> None:
        for other in self.server.loaded():
            if other != version:
                self.server.unregister(other)

    def _clean_up(self, state: ReleaseState) -> None:
        """Keep the archives and packages of what serves and what served before."""
        kept = {served.archive for served in (state.serving, state.previous) if served}
        keep_only(self.store, kept)
        keep_only(self.folder / "packages", {name.removesuffix(".mar") for name in kept})

    def _tag(self, version: str, status: str, reason: str) -> None:
        self.registry.set_tag(version, "deployment.status", status)
        self.registry.set_tag(version, "deployment.reason", reason)

    def _serving_version(self) -> str | None:
        serving = load_state(self.folder).serving
        return serving.version if serving else None

    def _result(self, outcome: Outcome, *, version: str | None = None, reason: str = "") -> ReleaseResult:
        serving = load_state(self.folder).serving
        return ReleaseResult(
            outcome=outcome, serving=serving.version if serving else None, version=version, reason=reason
        )
