"""The release step on Kubernetes: make the serving pods' Deployment follow the registry's alias `champion`.

Level-triggered, as on one machine. What decides lies in the registry, the record and the Deployment itself, so a killed
controller is followed by another that goes on; two at once cannot both change it, since a change names the state it
was made from. New pods verify the package, load it and answer its reference image before they count as ready, and no
old pod goes before a new one is: what never becomes ready is rolled back, and the alias put back.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from audit import default_folder
from imaging.errors import NotFoundError, ReleaseRefusedError, ServiceError
from imaging.registry import Registry, champion_version
from imaging.settings import Settings
from serving.parties import Versions
from serving.release.deployment import DeploymentTarget, Standing
from serving.release.eligibility import check_may_serve
from serving.release.lease import Lease
from serving.release.record import ReleaseRecord
from serving.release.state import Pending
from serving.release.surroundings import Outcome, ReleaseResult

SERVING, BACK = "serving", "-back"


def reconcile_on_cluster(settings: Settings, target: DeploymentTarget, lease: Lease | None = None) -> ReleaseResult:
    """Bring the Deployment to the champion once; safe to call at any time. Without the lease nothing is looked at.

    Raises:
        ThoraxError, AuditError: as `serving.release.reconciling.reconcile`.
    """
    if lease is not None and not lease.hold():
        return ReleaseResult(outcome="unchanged", serving=None, reason=f"another controller acts: {lease.holder}")
    release = ClusterRelease(
        champion=partial(champion_version, settings),
        registry=Registry.from_settings(settings),
        target=target,
        record=ReleaseRecord.open(default_folder(settings.home.resolve())),
    )
    return release.run()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterRelease:
    """One reconciliation."""

    champion: Callable[[], str]
    registry: Versions
    target: DeploymentTarget
    record: ReleaseRecord

    def run(self) -> ReleaseResult:
        """Do what is missing; what does not answer is reported and tried at the next call."""
        try:
            return self._reconcile(self.target.read())
        except ServiceError as error:
            return ReleaseResult(outcome="unavailable", serving=None, reason=str(error))

    def _reconcile(self, now: Standing) -> ReleaseResult:
        champion = self.champion()
        if now.version and now.is_stuck:
            return self._roll_back(now, champion)
        if champion and champion != now.version:
            return self._start(now, champion)
        if not now.version:
            return _told("unchanged", now, reason="no version is champion")
        if not now.is_done:
            reason = f"{now.ready} of {now.wanted} pods are ready"
            return _told("unavailable" if now.is_stuck else "rolling_out", now, version=now.version, reason=reason)
        return self._complete(now)

    def _start(self, now: Standing, version: str) -> ReleaseResult:
        try:
            info = self.registry.get(version)
            check_may_serve(info, self.record)
        except NotFoundError:
            return _told("unavailable", now, version=version, reason="the champion is not in the registry")
        except ReleaseRefusedError as error:
            return self._refuse(now, version, str(error))
        release = self._name(version)
        digest = info.tags["package.digest"]
        started = {"digest": digest, "replaces": now.version or None, "steps": ["rolling update"]}
        self.record.once(Pending(release=release, version=version), "release.started", started)
        self.registry.set_tag(version, "deployment.status", "pending")
        if not now.is_done:  # what a half-finished release told the pods is no way back; what served before it is
            now = _as_before(now)
        if not self.target.serve(now, version=version, digest=digest, release=release, may_return=bool(now.version)):
            return _told("unavailable", now, version=version, reason="the deployment changed meanwhile")
        return _told("rolling_out", now, version=version, reason="the pods were told")

    def _name(self, version: str) -> str:
        """Name a release by the approval that asks for it, so that a killed one is taken up and not begun again."""
        approval = self.record.approval(version)
        return hashlib.sha256(f"{version}/{approval.time if approval else ''}".encode()).hexdigest()[:32]

    def _complete(self, now: Standing) -> ReleaseResult:
        """Say once in registry and record that every pod serves it."""
        pending = Pending(release=now.release, version=now.version)
        info = self.registry.get(now.version)
        if info.tags.get("deployment.status") == SERVING and self.record.has(pending, "release.completed"):
            return _told("unchanged", now)
        details: dict[str, object] = {"digest": now.digest, "previous": now.previous or None, "pods": now.ready}
        approval = self.record.approval(now.version)
        if approval:
            self.registry.set_tag(now.version, "approved_by", approval.actor)
            self.registry.set_tag(now.version, "approved_at", approval.time)
            meaning = info.tags.get("approval.meaning", "")
            details |= {"approved_by": approval.actor, "approved_at": approval.time, "meaning": meaning}
        if now.previous and now.previous != now.version:
            self.registry.set_alias(now.previous, "previous")
            self._tag(now.previous, "retired", f"replaced by version {now.version}")
        self.record.once(pending, "release.completed", details | {"way_back": now.release.endswith(BACK)})
        self._tag(now.version, SERVING, "")
        return _told("released", now, version=now.version)

    def _refuse(self, now: Standing, version: str, reason: str) -> ReleaseResult:
        back = now.version or "none"
        details = {"reason": reason, "serving": now.version or None, "champion_put_back_to": back}
        self.record.once(Pending(release=uuid.uuid4().hex, version=version), "approval.refused", details)
        self._tag(version, "refused", reason)
        self._put_back(version, now.version)
        return _told("refused", now, version=version, reason=reason)

    def _roll_back(self, now: Standing, champion: str) -> ReleaseResult:
        """Tell the pods the version that served before; its pods never stopped."""
        failed, reason = now.version, "its pods did not become ready in time; see their logs"
        details = {"reason": reason, "serving": now.previous}
        self.record.once(Pending(release=now.release, version=failed), "release.rolled_back", details)
        self._tag(failed, "rolled_back", reason)
        if champion == failed:
            self._put_back(failed, now.previous)
        back = {"version": now.previous, "digest": now.previous_digest}
        if not self.target.serve(now, **back, release=f"{now.release}{BACK}", may_return=False):
            return _told("unavailable", now, version=failed, reason="the deployment changed meanwhile")
        return ReleaseResult(outcome="rolled_back", serving=now.previous or None, version=failed, reason=reason)

    def _put_back(self, version: str, serving: str) -> None:
        if self.champion() != version:
            return
        if serving:
            self.registry.set_alias(serving, "champion")
        else:
            self.registry.delete_alias("champion")

    def _tag(self, version: str, status: str, reason: str) -> None:
        self.registry.set_tag(version, "deployment.status", status)
        self.registry.set_tag(version, "deployment.reason", reason)


def _as_before(now: Standing) -> Standing:
    return replace(now, version=now.previous, digest=now.previous_digest)


def _told(outcome: Outcome, now: Standing, *, version: str | None = None, reason: str = "") -> ReleaseResult:
    return ReleaseResult(outcome=outcome, serving=now.version or None, version=version, reason=reason)
