"""The predetermined change control plan, and the decision whether a retraining is within it.

A decision looks only at its arguments: the drift that was found, the plan, and what was done before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

import yaml
from pydantic import Field, ValidationError

from imaging.config import Frozen
from imaging.errors import ConfigurationError

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
    why: str


class Limits(Frozen):
    """How often."""

    cool_down_hours: float = Field(ge=0)
    open_retrains: Literal[1]
    why: str


class Plan(Frozen):
    """The whole plan; `digest` names the file it came from."""

    schema_version: Literal[1]
    modifications: dict[str, Modification]
    data_rules: DataRules
    triggers: dict[Literal["drift"], DriftTrigger]
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


def decide(
    drift: Finding, plan: Plan, history: Sequence[Retrain], *, request: Request, now: datetime | None = None
) -> Decision:
    """Decide whether the plan lets `drift` start what `request` asks for, after the retrainings in `history`."""
    if not drift.above:
        return Decision(allowed=False, action="none", rule="no_drift", reason="no watched figure is above its bound")
    refusal = (
        _outside_plan(request, plan)
        or _too_little_evidence(drift, plan)
        or _open_retrain(request, history)
        or _cool_down(request, plan, history, now or datetime.now(UTC))
    )
    if refusal:
        return Decision(allowed=False, action="refuse", rule=refusal[0], reason=refusal[1])
    reason = f"{', '.join(drift.above)} drifted on {drift.rows} images, within the plan"
    return Decision(allowed=True, action="retrain", rule="within_plan", reason=reason)


def _outside_plan(request: Request, plan: Plan) -> tuple[str, str] | None:
    modification = plan.modifications.get(request.modification)
    if modification is None or not modification.allowed:
        allowed = ", ".join(name for name, known in plan.modifications.items() if known.allowed)
        return "outside_plan", f"the plan does not allow {request.modification!r}; it allows: {allowed}"
    if request.trigger not in plan.triggers:
        return "outside_plan", f"the plan knows no trigger {request.trigger!r}; it knows: {', '.join(plan.triggers)}"
    if modification.same_recipe and request.recipe != request.champion_recipe:
        return (
            "same_recipe",
            f"the plan retrains with the champion's recipe {request.champion_recipe!r}, not {request.recipe!r}",
        )
    if plan.data_rules.labelled and not request.labelled:
        return "labelled_data", "no labelled data to learn from: name them with --retrain-data and --retrain-labels"
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
