"""How a release ends: completed, refused, rolled back, or given up. Each may be killed anywhere and done again."""

import contextlib
from typing import Literal

from imaging.errors import NotFoundError, ThoraxError
from serving.archive import keep_only
from serving.release.state import Pending, ReleaseState, load_state, save_state
from serving.release.surroundings import ReleaseResult, Surroundings
from serving.release.traffic import Route


def finish(around: Surroundings) -> None:
    """End a release whose version serves already: traffic, aliases, tags, audit event; unload all but the way back."""
    state = load_state(around.folder)
    serving, pending, previous = state.serving, state.pending, state.previous
    if serving is None or pending is None or pending.version != serving.version:
        return
    around.target.send(Route())
    around.unload_all_but(around.kept_loaded())
    if previous:
        around.server.drain(previous.version)
    around.shut_for_all_but_serving()
    _take_away_aliases(around, pending)
    details = {"digest": serving.digest, "previous": previous.version if previous else None}
    meaning = around.registry.get(serving.version).tags.get("approval.meaning", "")
    approval = around.record.approval(serving.version)
    if approval:
        around.registry.set_tag(serving.version, "approved_by", approval.actor)
        around.registry.set_tag(serving.version, "approved_at", approval.time)
        details |= {"approved_by": approval.actor, "approved_at": approval.time, "meaning": meaning}
    if previous:
        around.registry.set_alias(previous.version, "previous")
        status = "rolled_back" if pending.is_way_back else "retired"
        back = f": {meaning}" if pending.is_way_back and meaning else ""
        around.tag(previous.version, status, f"replaced by version {serving.version}{back}")
    around.record.once(pending, "release.completed", details | {"way_back": pending.is_way_back})
    around.tag(serving.version, "serving", "")
    _clean_up(around, state)
    save_state(around.folder, state.model_copy(update={"pending": None}))


def refuse(around: Surroundings, pending: Pending, reason: str) -> ReleaseResult:
    """Record the refusal and where it leaves `champion`, then give the alias back."""
    serving = around.serving_version()
    details = {"reason": reason, "serving": serving}
    if around.champion() == pending.version:
        details["champion_put_back_to"] = serving or "none"
    around.record.once(pending, "approval.refused", details)
    return _put_back(around, pending, "refused", reason)


def roll_back(around: Surroundings, pending: Pending, error: ThoraxError) -> ReleaseResult:
    """Unload a version that does not work; the old one never stopped."""
    around.target.send(Route())
    state = load_state(around.folder)
    if state.serving and around.server.default() != state.serving.version:
        around.server.set_default(state.serving.version)
    around.server.unregister(pending.version)
    around.shut_for_all_but_serving()
    _take_away_aliases(around, pending)
    details = {"reason": str(error), "code": error.code, "serving": around.serving_version()}
    around.record.once(pending, "release.rolled_back", details)
    return _put_back(around, pending, "rolled_back", str(error))


def abandon(around: Surroundings, pending: Pending, reason: str) -> None:
    """End a release that is under way, or was killed half way, and is no longer wanted."""
    around.target.send(Route())
    around.unload_all_but(around.kept_loaded())
    if pending.version in around.kept_loaded():
        around.server.drain(pending.version)
    around.shut_for_all_but_serving()
    _take_away_aliases(around, pending)
    if around.record.has(pending, "release.started") and not around.record.has(pending, "approval.refused"):
        details = {"reason": reason, "serving": around.serving_version()}
        around.record.once(pending, "release.rolled_back", details)
        with contextlib.suppress(NotFoundError):  # deleted meanwhile
            around.tag(pending.version, "rolled_back", reason)
    state = load_state(around.folder)
    save_state(around.folder, state.model_copy(update={"pending": None}))


def _put_back(
    around: Surroundings, pending: Pending, status: Literal["refused", "rolled_back"], reason: str
) -> ReleaseResult:
    """Tag the version and give `champion` back to what serves, unless somebody moved it meanwhile."""
    with contextlib.suppress(NotFoundError):  # deleted meanwhile
        around.tag(pending.version, status, reason)
    state = load_state(around.folder)
    if around.champion() == pending.version:
        if state.serving:
            around.registry.set_alias(state.serving.version, "champion")
        else:
            around.registry.delete_alias("champion")
    save_state(around.folder, state.model_copy(update={"pending": None}))
    return around.result(status, version=pending.version, reason=reason)


def _take_away_aliases(around: Surroundings, pending: Pending) -> None:
    """Take `shadow` and `canary` away again, where the release came so far as to set them."""
    if pending.plan and pending.candidate:
        for alias in dict.fromkeys(step.kind for step in pending.plan.steps):
            with contextlib.suppress(NotFoundError):
                around.registry.delete_alias(alias)


def _clean_up(around: Surroundings, state: ReleaseState) -> None:
    """Keep the archives and packages of what serves and what served before."""
    kept = {served.archive for served in (state.serving, state.previous) if served}
    keep_only(around.store, kept)
    keep_only(around.folder / "packages", {name.removesuffix(".mar") for name in kept})
