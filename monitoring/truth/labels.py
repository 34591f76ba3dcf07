"""From what people said to one label an answer.

Corrections take effect, the most trusted reader counts, and where such readers disagree there is no label until
somebody decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audit.feedback import Said

ROLES = ("adjudicator", "radiologist", "resident", "report")
"""The most trusted first."""
State = Literal["sound", "disputed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """What is known of one answer.

    Attributes:
        request_id: Of the answer.
        label: The class; empty where it is disputed.
        role: Of the most trusted reader.
        received: When the last of them came, UTC ISO 8601.
        state: `disputed` where equally trusted readers say different classes.
        readings: How many there are.
    """

    request_id: str
    label: str
    role: str
    received: str
    state: State
    readings: int


def effective_labels(said: Sequence[Said]) -> dict[str, Label]:
    """Return the label of each request; what came in whatever order gives the same."""
    corrected = {str(row.content["corrects"]) for row in said if row.content.get("corrects")}
    readings: dict[str, list[Said]] = {}
    for row in said:
        if row.id not in corrected:
            readings.setdefault(row.request_id, []).append(row)
    return {request: _label(request, rows) for request, rows in sorted(readings.items())}


def _label(request: str, rows: list[Said]) -> Label:
    role = min((str(row.content["reader_role"]) for row in rows), key=_rank)
    trusted = [row for row in rows if row.content["reader_role"] == role]
    labels = {str(row.content["label"]) for row in trusted}
    is_sound = len(labels) == 1
    return Label(
        request_id=request,
        label=labels.pop() if is_sound else "",
        role=role,
        received=max(row.received for row in trusted),
        state="sound" if is_sound else "disputed",
        readings=len(rows),
    )


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)
