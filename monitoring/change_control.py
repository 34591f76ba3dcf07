"""The predetermined change control plan, and the decision whether a retraining is within it.

A decision looks only at its arguments: the drift that was found, the plan, and what was done before.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import yaml
from pydantic import Field, ValidationError

from imaging.config import Frozen
from imaging.errors import ConfigurationError

BUDGET_DAYS = 90
Outcome = Literal["running", "challenger", "decided", "failed", "abandoned"]
"""`challenger`: registered and not judged yet; `decided`: since then a model was approved or registered."""


class Modification(Frozen):
    """One kind of change, and whether the platform may make it."""

    allowed: bool
    why: str
    same_recipe: bool = True
    acceptance: str = ""
    result: Literal["challenger", ""] = ""


class DriftTrigger(Frozen):
    """When drift may ask for a retraining."""

    metric: Literal["psi"]
    bound: float = Field(gt=0)
    watched: tuple[Literal["scores", "statistics", "embedding", "acquisition"], ...] = Field(min_length=1)
    window: str
    minimum_sample: int = Field(ge=30)
    minimum_reference: int = Field(ge=30)
    noise_level: float = Field(ge=0.5, lt=1)
    why: str


class DataRules(Frozen):
    """What a retraining may learn from."""

    labelled: bool
    minimum_per_class: int = Field(default=0, ge=0)
    """Images of each class among the new ones."""
    labels_by: tuple[str, ...] = ()
    """Whose labels count, where a table says whose they are; anybody's where empty."""
    unsaid_labels: bool = True
    """Whether labels count that do not say whose they are."""
    quarantine: tuple[str, ...] = ()
    """States of a label (`label_status`) that keep it out."""
    why: str


class OtherTrigger(Frozen):
    """What else may ask for a retraining, and what it has to show."""

    minimum_labelled: int = Field(default=0, ge=0)
    """For performance: labelled images of the span."""
    every_days: float = Field(default=0, ge=0)
    """For the schedule: days since the version that serves was registered or last retrained for."""
    why: str


class Limits(Frozen):
    """How often."""

    cool_down_hours: float = Field(ge=0)
    open_retrains: Literal[1]
    most_in_90_days: int = Field(default=1_000, ge=1)
    """The budget: requests within 90 days, whatever came of them."""
    why: str


class Plan(Frozen):
    """The whole plan; `digest` names the file it came from."""

    schema_version: Literal[1]
    modifications: dict[str, Modification]
    data_rules: DataRules
    triggers: dict[Literal["drift"], DriftTrigger]
    other_triggers: dict[Literal["performance", "schedule", "person"], OtherTrigger] = Field(default={})
    limits: Limits
    notify: tuple[str, ...]
    digest: str = ""


class Finding(Protocol):
    """What a decision needs to know of a drift check."""

    @property
    def drifted(self) -> bool: ...
    @property
    def enough(self) -> bool: ...
    @property
    def above(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrain:
    """A retraining that was requested before."""

    request: str
    time: datetime
    serving_version: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for, and in which situation."""

    serving_version: str
    recipe: str
    champion_recipe: str
    labelled: bool
    """Whether labelled data to learn from are named."""
    modification: str = "retrain"
    trigger: str = "drift"
    counts: Mapping[str, int] = field(default_factory=dict)
    """New images by class, where they are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A retraining that something else than drift asks for.

    Attributes:
        reason: A person's words, or what was found.
        fell: Whether labels say that the model got worse.
        labelled: Labelled images behind that.
        since: When the version that serves was registered, or last retrained for.
    """

    reason: str
    fell: bool = False
    labelled: int = 0
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The answer: `retrain`; `refuse`, which is recorded; or `none`, because nothing asks for a change."""

    allowed: bool
    action: Literal["retrain", "refuse", "none"]
    rule: str
    """The rule of the plan that decided, in a word."""
    reason: str


def load_plan(path: Path) -> Plan:
    """Read and check a plan.

    Raises:
        ConfigurationError: when the file is absent or breaks the plan's schema.
    """
    try:
        raw = path.read_bytes()
        plan = Plan.model_validate(yaml.safe_load(raw))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"the change control plan {path.name} cannot be used: {error}") from error
    return plan.model_copy(update={"digest": "sha256:" + hashlib.sha256(raw).hexdigest()})


def installed_plan() -> Plan:
    """Return the change control plan that is installed; no option names another.

    It is found and not imported: importing its package builds every pipeline.
    """
    found = find_spec("pipelines")
    places = list(found.submodule_search_locations or []) if found else []
    return load_plan(Path(places[0] if places else "pipelines") / "change_control.yaml")


def decide(
    drift: Finding, plan: Plan, history: Sequence[Retrain], *, request: Request, now: datetime | None = None
) -> Decision:
    """Decide whether the plan lets `drift` start what `request` asks for, after the retrainings in `history`."""
    if not drift.above:
        return Decision(allowed=False, action="none", rule="no_drift", reason="no watched figure is above its bound")
    refusal = _outside_plan(request, plan) or _too_little_evidence(drift, plan)
    reason = f"{', '.join(drift.above)} drifted on {drift.rows} images, within the plan"
    return _decision(refusal or _not_now(request, plan, history, now or datetime.now(UTC)), reason)


def decide_asked(
    asked: Asked, plan: Plan, history: Sequence[Retrain], *, request: Request, now: datetime | None = None
) -> Decision:
    """Decide whether the plan lets a fall in performance, the schedule or a person start what `request` asks for."""
    moment = now or datetime.now(UTC)
    trigger = plan.other_triggers.get(request.trigger)  # type: ignore[call-overload]  # a name that may be none
    if request.trigger == "schedule" and trigger and asked.since and not _is_due(asked.since, trigger, moment):
        return Decision(allowed=False, action="none", rule="not_due", reason="the schedule does not ask for it yet")
    if request.trigger == "performance" and not asked.fell:
        return Decision(allowed=False, action="none", rule="no_fall", reason="labels do not say that it got worse")
    refusal = _outside_plan(request, plan) or _nothing_behind(asked, request, trigger)
    return _decision(refusal or _not_now(request, plan, history, moment), f"{asked.reason}, within the plan")


def _decision(refusal: tuple[str, str] | None, reason: str) -> Decision:
    if refusal:
        return Decision(allowed=False, action="refuse", rule=refusal[0], reason=refusal[1])
    return Decision(allowed=True, action="retrain", rule="within_plan", reason=reason)


def _not_now(request: Request, plan: Plan, history: Sequence[Retrain], now: datetime) -> tuple[str, str] | None:
    return (
        _open_retrain(request, history) or _cool_down(request, plan, history, now) or _over_budget(plan, history, now)
    )


def _is_due(since: datetime, trigger: OtherTrigger, now: datetime) -> bool:
    return now - since >= timedelta(days=trigger.every_days)


def _nothing_behind(asked: Asked, request: Request, trigger: OtherTrigger | None) -> tuple[str, str] | None:
    if request.trigger == "person" and not asked.reason.strip():
        return "reason", "a person who starts a retraining says why"
    if request.trigger == "performance" and trigger and asked.labelled < trigger.minimum_labelled:
        return "minimum_labelled", f"{asked.labelled} labelled images, the plan asks for {trigger.minimum_labelled}"
    return None


def _over_budget(plan: Plan, history: Sequence[Retrain], now: datetime) -> tuple[str, str] | None:
    spent = sum(1 for one in history if now - one.time < timedelta(days=BUDGET_DAYS) and one.outcome != "abandoned")
    if spent < plan.limits.most_in_90_days:
        return None
    return "budget", f"{spent} retrainings in {BUDGET_DAYS} days, the plan allows {plan.limits.most_in_90_days}"


def _outside_plan(request: Request, plan: Plan) -> tuple[str, str] | None:
    modification = plan.modifications.get(request.modification)
    if modification is None or not modification.allowed:
        allowed = ", ".join(name for name, known in plan.modifications.items() if known.allowed)
        return "outside_plan", f"the plan does not allow {request.modification!r}; it allows: {allowed}"
    known = [*plan.triggers, *plan.other_triggers]
    if request.trigger not in known:
        return "outside_plan", f"the plan knows no trigger {request.trigger!r}; it knows: {', '.join(known)}"
    if modification.same_recipe and request.recipe != request.champion_recipe:
        return (
            "same_recipe",
            f"the plan retrains with the champion's recipe {request.champion_recipe!r}, not {request.recipe!r}",
        )
    if plan.data_rules.labelled and not request.labelled:
        return "labelled_data", "no labelled data to learn from: name them with --retrain-data and --retrain-labels"
    few = {name: count for name, count in request.counts.items() if count < plan.data_rules.minimum_per_class}
    if few:
        told = ", ".join(f"{count} of {name}" for name, count in sorted(few.items()))
        return (
            "minimum_per_class",
            f"{told} are too few new images, the plan asks for {plan.data_rules.minimum_per_class}",
        )
    return None


def _too_little_evidence(drift: Finding, plan: Plan) -> tuple[str, str] | None:
    needed = plan.triggers["drift"].minimum_sample
    if not drift.enough:
        return "minimum_sample", f"{drift.rows} different images are too few to judge, the plan asks for {needed}"
    if not drift.drifted:
        return "sampling_noise", "above the bound, but no more than sampling alone gives for so few images"
    return None


def _open_retrain(request: Request, history: Sequence[Retrain]) -> tuple[str, str] | None:
    for retrain in history:
        if retrain.outcome == "running":
            return "open_retrain", f"the retraining {retrain.request} is still running"
        if retrain.outcome == "challenger" and retrain.serving_version == request.serving_version:
            return "open_retrain", f"the challenger of the retraining {retrain.request} waits for a person's decision"
    return None


def _cool_down(request: Request, plan: Plan, history: Sequence[Retrain], now: datetime) -> tuple[str, str] | None:
    """An abandoned run (killed, power cut) does not count: it answered nothing and may be taken up again."""
    pause = timedelta(hours=plan.limits.cool_down_hours)
    for retrain in history:
        same = retrain.serving_version == request.serving_version and retrain.outcome != "abandoned"
        if same and now - retrain.time < pause:
            left = (retrain.time + pause - now).total_seconds() / 3600
            return (
                "cool_down",
                f"the last retraining for this version was requested too recently, {left:.1f} h are left",
            )
    return None
