"""What may be said of an answer, field by field; nothing in it is about a patient."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from imaging.config import Frozen

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ -]{1,64}$")]
Role = Literal["adjudicator", "radiologist", "resident", "report"]
"""Who read the image, the most trusted first; `report` is a label taken from a written report."""
Severity = Literal["no_harm", "near_miss", "harm"]
Category = Literal["missed_finding", "false_alarm", "wrong_image", "no_answer", "other"]
LONGEST_DESCRIPTION = 2000
FUTURE_S = 300.0


def _not_ahead(time: datetime) -> datetime:
    if (time - datetime.now(UTC)).total_seconds() > FUTURE_S:
        raise ValueError("lies in the future")
    return time.astimezone(UTC)


Time = Annotated[AwareDatetime, AfterValidator(_not_ahead)]


class Feedback(Frozen):
    """A label of one answered image."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    feedback_id: Id
    """The sender's own; the same one again is the same feedback."""
    request_id: Id
    """Of the answer."""
    label: Label
    """One of the model's classes."""
    verdict: Literal["confirmed", "corrected"]
    reader_role: Role
    time: Time
    """When it was read."""
    corrects: Id | None = None
    """An earlier feedback that this one takes the place of; both are kept."""


class Adverse(Frozen):
    """An adverse result, or one that nearly was."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    report_id: Id
    """The sender's own; the same one again is the same report."""
    request_id: Id
    severity: Severity
    category: Category
    reader_role: Role
    time: Time
    """When it was noticed."""
    description: str = Field(default="", max_length=LONGEST_DESCRIPTION)
    """Kept in the store alone: it is in no log, record or message, since people write names into such fields."""
