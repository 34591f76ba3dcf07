"""A version takes over step by step: in shadow, then on shares of the traffic, as the plan says.

Level-triggered as all of the release: `roll_out` makes traffic, permissions, aliases and record what they have to be
at the step that the state names, looks at what the step has shown, and goes on where it is over.
"""

from serving.errors import RolloutBreachError
from serving.release.evidence import Evidence, breach, read_rows, weigh
from serving.release.orders import pause_of
from serving.release.plan import Step
from serving.release.state import Pending, Served, load_state, save_state
from serving.release.surroundings import Surroundings
from serving.release.traffic import Route

MOST_LOSSES = 3
"""How often a version may be found without a worker while it is rolled out: TorchServe itself may be started again."""


def roll_out(around: Surroundings, pending: Pending) -> bool:
    """Do what is missing at this step, and the next ones where it is over; return whether all of them are.

    Raises:
        RolloutBreachError: the version broke a bound, or loses its worker again and again.
        ModelLoadError: it was lost, and does not load again.
    """
    seen: Evidence | None = None
    plan = pending.plan
    while plan and pending.candidate and pending.step < len(plan.steps):
        step = plan.steps[pending.step]
        pending = _hold(around, pending, pending.candidate, step, seen)
        seen = evidence_of(around, pending, step)
        if why := breach(seen, plan.bounds, step):
            raise RolloutBreachError(f"in {step.name}: {why}")
        if pause_of(around.folder) or not _is_over(seen, step, around.clock() - pending.since):
            return False
        pending = pending.model_copy(update={"step": pending.step + 1, "since": around.clock()})
        _save(around, pending)
    return True


def evidence_of(around: Surroundings, pending: Pending, step: Step) -> Evidence:
    """Return what this step has shown so far."""
    serving = load_state(around.folder).serving
    rows = read_rows(around.settings.home, pending.since)
    digest = pending.candidate.digest if pending.candidate else ""
    return weigh(rows, digest=digest, serving=serving.digest if serving else "", step=step)


def _is_over(seen: Evidence, step: Step, seconds: float) -> bool:
    return seconds >= step.seconds and seen.requests >= step.requests


def _hold(around: Surroundings, pending: Pending, candidate: Served, step: Step, seen: Evidence | None) -> Pending:
    """Give the version its part of the traffic, or none while it has no worker."""
    loaded = around.server.loaded().get(candidate.version)
    if loaded is None or not loaded.is_ready:
        pending = _mend(around, pending, candidate)
    if step.kind == "shadow":
        around.gate.shadow(candidate.version, candidate.digest, around.shadow_token)
        around.target.send(Route(shadow=candidate.version))
    else:
        around.gate.admit(candidate.version, candidate.digest, stage="canary")
        around.target.send(Route(canary=candidate.version, share=step.share))
    if pending.told < pending.step:
        around.tag(candidate.version, step.kind, step.name)
        around.registry.set_alias(candidate.version, step.kind)
        shown = {"after": seen.summary()} if seen else {}
        around.record.once(pending, "release.shifted", {"step": step.name, "share": step.share, **shown})
        pending = pending.model_copy(update={"told": pending.step})
        _save(around, pending)
    return pending


def _mend(around: Surroundings, pending: Pending, candidate: Served) -> Pending:
    """Take all traffic from a version that lost its worker, wait for another one, and let the step begin anew."""
    around.target.send(Route())
    pending = pending.model_copy(update={"losses": pending.losses + 1})
    _save(around, pending)
    if pending.losses > MOST_LOSSES:
        raise RolloutBreachError(f"it was without a worker {pending.losses} times")
    around.server.register(candidate.archive)
    around.server.wait_until_ready(candidate.version)
    pending = pending.model_copy(update={"since": around.clock()})
    _save(around, pending)
    return pending


def _save(around: Surroundings, pending: Pending) -> None:
    save_state(around.folder, load_state(around.folder).model_copy(update={"pending": pending}))
