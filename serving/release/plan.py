"""The rollout plan: the steps between an approval and all traffic, and what sends a version back."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from imaging.config import Frozen
from imaging.errors import ConfigurationError
from imaging.settings import Settings

DEFAULT = Path(__file__).with_name("rollout.yaml")
IN_HOME = "rollout.yaml"


class Step(Frozen):
    """One step of a rollout."""

    kind: Literal["shadow", "canary"]
    share: float = Field(default=0.0, ge=0, lt=1)
    """Of the requests that the new version answers; 0 in shadow, where it answers nobody."""
    seconds: float = Field(ge=0)
    requests: int = Field(ge=0)

    @model_validator(mode="after")
    def _has_its_share(self) -> "Step":
        if (self.kind == "canary") != (self.share > 0):
            raise ValueError("a canary has a share above 0, and a shadow has none")
        return self

    @property
    def name(self) -> str:
        """`shadow`, or `canary 10 %`."""
        return self.kind if self.kind == "shadow" else f"canary {100 * self.share:.0f} %"


class Bounds(Frozen):
    """What a new version may not exceed while it is rolled out."""

    error_rate: float = Field(ge=0, le=1)
    latency_ratio: float = Field(gt=1)
    disagreement: float = Field(ge=0, le=1)
    score_shift: float = Field(ge=0, le=1)
    answered_share: float = Field(ge=0, lt=1)


class RolloutPlan(Frozen):
    """Steps, in order, and bounds; a release keeps the plan that it began with."""

    schema_version: Literal[1] = 1
    steps: tuple[Step, ...]
    bounds: Bounds
    why: str = ""

    @model_validator(mode="after")
    def _grows(self) -> "RolloutPlan":
        shares = [step.share for step in self.steps]
        if shares != sorted(shares):
            raise ValueError("a step never has a smaller share than the one before it")
        return self


def plan_of(settings: Settings) -> RolloutPlan:
    """Return the plan that `THORAX_ROLLOUT` names, else that of the home, else the platform's own.

    Raises:
        ConfigurationError: the file is not a plan, or is named and not there.
    """
    in_home = settings.home / IN_HOME
    return load_plan(settings.rollout or (in_home if in_home.exists() else None))


def load_plan(path: Path | None) -> RolloutPlan:
    """Return the plan in a YAML file; the platform's own where `path` is None.

    Raises:
        ConfigurationError: the file is not there, or not a plan.
    """
    file = path or DEFAULT
    try:
        return RolloutPlan.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"the rollout plan {file} cannot be read: {type(error).__name__}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise ConfigurationError(f"{file} is no rollout plan: {place}: {first['msg']}") from error
