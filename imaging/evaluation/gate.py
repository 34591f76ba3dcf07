"""What a gate is: a row of the table, what it looks at, and what it answers."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from imaging.config import Frozen
from imaging.evaluation.schema import NOT_EVALUATED, Evaluation
from imaging.settings import Settings

Kind = Literal["radiograph", "picture"]
SUBJECTS: tuple[Kind, ...] = get_args(Kind)
SERVED = "chest-xray"
"""The registered model that answers about patients: it meets every gate, whatever it says its images show."""


class GateRow(Frozen):
    """One row of `gates.yaml`."""

    name: str
    bound: float
    owner: str = Field(min_length=1)
    """The role that answers for the bound."""
    why: str = Field(min_length=1)
    applies_to: tuple[Kind, ...] = SUBJECTS
    elsewhere: str = ""
    """Why it is not asked of anything else."""
    sections: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_asked_of_radiographs(self) -> Self:
        if "radiograph" not in self.applies_to:
            raise ValueError(f"the gate {self.name} has to apply to radiographs")
        if len(set(self.applies_to)) < len(SUBJECTS) and not self.elsewhere:
            raise ValueError(f"the gate {self.name} does not say why it is not asked of every model")
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a gate found: pass or fail, the figure, the bound it met, and the reason in words."""

    passed: bool
    figure: float | None
    bound: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the gates look at."""

    evaluation: Evaluation
    package: Path
    settings: Settings = field(default_factory=Settings)
    """Say whose signature on the package is trusted."""


def is_missing(value: float | None) -> bool:
    """Say whether a figure is absent or not a number."""
    return value is None or not math.isfinite(value)


def missing(row: GateRow, what: str) -> Verdict:
    """Fail because `what` was not there."""
    return Verdict(passed=False, figure=None, bound=row.bound, reason=f"missing: {what}")


class GateResult(Frozen):
    """One gate's answer. `figure` is what was compared with `bound`; `None` when it was missing.

    A gate that does not apply has not passed: what is served has passed every gate there is.
    """

    gate: str
    passed: bool
    applies: bool = True
    figure: float | None
    bound: float | None
    reason: str
    why: str = ""
    owner: str = ""
    """Whom to ask; empty where the table itself is the problem."""

    @property
    def failed(self) -> bool:
        """Whether it stops the model."""
        return self.applies and not self.passed

    @property
    def told(self) -> str:
        """The gate with its reason, and whom to ask."""
        return f"{self.gate}: {self.reason}" + (f" (ask: {self.owner})" if self.owner else "")

    @property
    def answer(self) -> str:
        """In one word or three."""
        return "pass" if self.passed else "FAIL" if self.applies else "not applicable"


class GateReport(Frozen):
    """Every gate's answer about one package. `passed` says that none failed, and that some gate applied."""

    passed: bool
    results: tuple[GateResult, ...]
    table_digest: str
    package_digest: str
    not_evaluated: tuple[str, ...] = NOT_EVALUATED


def applies(evaluation: Evaluation, row: GateRow) -> bool:
    """Say whether the gate is asked of this model: by what its images show, and always of the one that is served."""
    return evaluation.subject in row.applies_to or evaluation.model_name == SERVED
