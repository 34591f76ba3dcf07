"""Which retrainings were requested and what became of them, from the audit record; and the lock of the one at work.

The record tells what was requested, ended and registered. Whether a request without an end still runs is told by a
file lock that the kernel takes from a killed process.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from audit import AuditEvent, AuditLog
from imaging.locks import locked_if_free
from monitoring.change_control import Outcome, Retrain

ENDED = "retrain/"
"""Subject of the `run.finished` event that ends a request: `retrain/<request>`."""


def read_history(log: AuditLog, *, one_runs: bool) -> list[Retrain]:
    """Return every requested retraining, oldest first.

    Args:
        log: The audit log.
        one_runs: Whether some process holds the retraining lock: the last request without an end is then running.
    """
    requested = log.events(action="retrain.requested")
    finished = [event for event in log.events(action="run.finished") if event.subject.startswith(ENDED)]
    ends = {event.subject.removeprefix(ENDED): event for event in finished}
    decided = [*log.events(action="model.registered"), *log.events(action="model.approved")]
    history = []
    for event in requested:
        request = str(event.details.get("request", event.seq))
        last = event is requested[-1]
        history.append(
            Retrain(
                request=request,
                time=datetime.fromisoformat(event.time),
                serving_version=event.subject.rpartition("/")[2],
                outcome=_outcome(ends.get(request), decided, runs=one_runs and last),
            )
        )
    return history


@contextlib.contextmanager
def retraining_lock(home: Path) -> Iterator[bool]:
    """Yield whether this process may retrain; it holds the lock until the block ends."""
    folder = home / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    with locked_if_free(folder / "retrain.lock") as free:
        yield free


def _outcome(end: AuditEvent | None, decided: Sequence[AuditEvent], *, runs: bool) -> Outcome:
    if end is None:
        return "running" if runs else "abandoned"
    told = str(end.details.get("outcome"))
    if told == "challenger" and any(event.seq > end.seq for event in decided):
        return "decided"
    for outcome in get_args(Outcome):
        if told == outcome:
            return outcome
    return "failed"
