"""The release step: make TorchServe serve what the registry's alias `champion` says, or put the alias back.

Level-triggered: `reconcile` looks at where things stand and does what is missing, so it may be killed
anywhere, run twice, or find TorchServe empty. Nothing stops serving before its successor answers.
"""

import uuid
from functools import partial
from pathlib import Path

from audit import default_folder
from imaging.errors import ModelPackageError, NotFoundError, ReleaseRefusedError, ServiceError
from imaging.registry import Registry, champion_version
from imaging.settings import Settings
from serving.archive import archive_name, build_archive, worker_config
from serving.client import ChestXrayClient
from serving.errors import ModelLoadError, RolloutBreachError, SmokeTestError
from serving.packages import fetch_package
from serving.release.eligibility import check_may_serve
from serving.release.endings import abandon, finish, refuse, roll_back
from serving.release.keeping import Keeper
from serving.release.orders import pause_of
from serving.release.plan import plan_of
from serving.release.record import ReleaseRecord
from serving.release.rollout import roll_out
from serving.release.smoke import smoke_test
from serving.release.state import Pending, ReleaseState, Served, load_state, release_lock, save_state
from serving.release.surroundings import Outcome, ReleaseResult, Surroundings
from serving.release.traffic import Traffic
from serving.tokens import shadow_token
from serving.torchserve import ManagementClient

__all__ = ["Outcome", "Release", "ReleaseResult", "reconcile"]


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
        target=Traffic.of(home),
        record=ReleaseRecord.open(default_folder(home)),
        smoke_test=partial(smoke_test, ChestXrayClient.from_settings(settings)),
        settings=settings,
        shadow_token=shadow_token(home),
    )
    return release.run()


class Release(Surroundings):
    """One reconciliation."""

    def run(self) -> ReleaseResult:
        """Do what is missing; what does not answer is reported and tried at the next call."""
        with release_lock(self.folder):
            try:
                return self._reconcile()
            except ServiceError as error:
                return self.result("unavailable", reason=str(error))

    def _reconcile(self) -> ReleaseResult:
        reloaded, problem = self._try_to_keep_serving(load_state(self.folder).serving)
        finish(self)
        champion = self.champion()
        state = load_state(self.folder)
        if state.pending and state.pending.version != champion:
            abandon(self, state.pending, f"champion moved to {champion or 'nobody'}")
        if champion and (state.serving is None or state.serving.version != champion):
            return self._advance(champion)
        if problem:
            return self.result("unavailable", reason=problem)
        self._load_way_back()
        reason = "" if champion else "no version is champion" + ("; the last one still serves" if state.serving else "")
        return self.result("reloaded" if reloaded else "unchanged", reason=reason)

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

    def _load_way_back(self) -> None:
        """Load the previous version after a restart of TorchServe; what it refuses to load is no way back any more."""
        state = load_state(self.folder)
        if state.serving is None or state.previous is None or state.previous.version in self.server.loaded():
            return
        try:
            self.server.register(state.previous.archive)
        except ModelLoadError:
            save_state(self.folder, state.model_copy(update={"previous": None}))

    def _advance(self, version: str) -> ReleaseResult:
        """Bring the champion nearer to all of the traffic."""
        state, pause = load_state(self.folder), pause_of(self.folder)
        if state.pending is None and pause and not self._is_way_back(state, version):
            return self.result("paused", version=version, reason=f"{pause.by}: {pause.reason}")
        pending = self._begin(version)
        if pending.candidate is None and (ended := self._prepare(pending)):
            return ended
        pending = load_state(self.folder).pending or pending
        try:
            is_over = roll_out(self, pending)
        except (ModelLoadError, RolloutBreachError) as error:
            return roll_back(self, pending, error)
        pending = load_state(self.folder).pending or pending
        if is_over and pending.candidate:
            return self._switch(pending, pending.candidate)
        step = pending.plan.steps[pending.step].name if pending.plan else ""
        return self.result("paused" if pause else "rolling_out", version=version, reason=step)

    def _begin(self, version: str) -> Pending:
        state = load_state(self.folder)
        pending = state.pending or Pending(release=uuid.uuid4().hex, version=version)
        if state.pending is None:
            save_state(self.folder, state.model_copy(update={"pending": pending}))
        return pending

    def _prepare(self, pending: Pending) -> ReleaseResult | None:
        """Check, fetch, load and try the version; return how it ended where it did."""
        version = pending.version
        try:
            info = self.registry.get(version)
            check_may_serve(info, self.record)
            digest = info.tags["package.digest"]
            packages = self.folder / "packages"
            package = fetch_package(self.registry, packages, version=version, digest=digest, settings=self.settings)
        except (ReleaseRefusedError, ModelPackageError) as error:
            return refuse(self, pending, str(error))
        except NotFoundError as error:
            return refuse(self, pending, f"the registry has no files for it: {error}")
        pending = self._planned(pending)
        steps = [step.name for step in pending.plan.steps] if pending.plan else []
        started = {"digest": digest, "replaces": self.serving_version(), "steps": steps}
        self.record.once(pending, "release.started", started)
        self.registry.set_tag(version, "deployment.status", "pending")
        candidate = Served(version=version, digest=digest, archive=archive_name(version, digest))
        try:
            self._load(candidate, package)
            token = self.gate.expect_smoke_test(version, digest)
            request_id = f"smoke-{pending.release}"
            self.smoke_test(package, version=version, digest=digest, request_id=request_id, token=token)
        except (ModelLoadError, SmokeTestError) as error:
            return roll_back(self, pending, error)
        tried = pending.model_copy(update={"candidate": candidate, "since": self.clock()})
        save_state(self.folder, load_state(self.folder).model_copy(update={"pending": tried}))
        return None

    def _planned(self, pending: Pending) -> Pending:
        """Return the release with the steps it takes: none for a first version, nor for a way back."""
        state = load_state(self.folder)
        is_way_back = self._is_way_back(state, pending.version)
        plan = plan_of(self.settings) if state.serving and not is_way_back else None
        return pending.model_copy(update={"plan": plan, "is_way_back": is_way_back})

    def _is_way_back(self, state: ReleaseState, version: str) -> bool:
        return state.may_return and state.previous is not None and state.previous.version == version

    def _load(self, candidate: Served, package: Path) -> None:
        """Load a version that nobody may ask yet; one that is loaded from the same archive stays as it is."""
        loaded = self.server.loaded().get(candidate.version)
        if loaded is None or loaded.archive != candidate.archive or not loaded.is_ready:
            version, digest = candidate.version, candidate.digest
            config = worker_config(self.settings.home)
            build_archive(package, version=version, digest=digest, store=self.store, config=config)
        if loaded is not None and loaded.archive != candidate.archive:
            self.server.unregister(candidate.version)
            loaded = None
        if loaded is None:
            self.shut_for_all_but_serving()
        self.server.register(candidate.archive)
        self.server.wait_until_ready(candidate.version)

    def _switch(self, pending: Pending, candidate: Served) -> ReleaseResult:
        """Let the version answer everything."""
        self.gate.admit(candidate.version, candidate.digest)
        self.server.set_default(candidate.version)
        state = load_state(self.folder)
        switched = ReleaseState(
            serving=candidate, previous=state.serving, may_return=not pending.is_way_back, pending=pending
        )
        save_state(self.folder, switched)
        finish(self)
        return self.result("released", version=candidate.version)
