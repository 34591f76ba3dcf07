"""Follow a submitted run to its end: what its steps do, and what the failing one said."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from imaging.errors import ServiceError

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"})
POLL_S = 5.0
SILENT_FOR = 12
"""Looks in a row that may go unanswered."""
LOG_TAIL = 8000
"""Characters of a failed step's log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a run ended."""

    state: str
    failed: str = ""
    """The step that failed."""
    log: str = ""
    """The end of what it wrote, where the server still has it."""

    @property
    def passed(self) -> bool:
        """Whether every step did."""
        return self.state == "SUCCEEDED"


def follow(
    run_id: str,
    *,
    host: str,
    token: str = "",
    on_step: Callable[[str, str], None] = lambda _step, _state: None,
    timeout_s: float = 24 * 3600.0,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> End:
    """Look at a run until it ends.

    Args:
        run_id: As `submit` returned it.
        host: Of the KFP API.
        token: Bearer token.
        on_step: Told of each step whose state changed: its name and the state.
        timeout_s: How long to look.
        poll_s: Between two looks.
        sleep: Waits.

    Raises:
        ServiceError: the server does not answer for a minute or refuses, or the time is over; the run goes on.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    deadline, seen, silent = time.monotonic() + timeout_s, dict[str, str](), 0
    with httpx.Client(base_url=host.rstrip("/"), headers=headers, timeout=30.0) as client:
        while time.monotonic() < deadline:
            run = _look(client, run_id)
            silent = silent + 1 if run is None else 0
            if silent > SILENT_FOR:
                raise ServiceError(f"the pipeline server at {host} does not answer any more; the run goes on")
            steps = _steps(run or {})
            for name, state in steps.items():
                if seen.get(name) != state:
                    on_step(name, state)
            seen |= steps
            if run and run.get("state") in ENDED:
                return _end(client, run, run_id)
            sleep(poll_s)
    raise ServiceError(f"the run did not end within {timeout_s / 3600:.1f} h; it goes on")


def _look(client: httpx.Client, run_id: str) -> dict[str, Any] | None:
    """Return the run; None where the server has a bad moment."""
    try:
        answer = client.get(f"/apis/v2beta1/runs/{run_id}")
    except httpx.TransportError:
        return None
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return None
    if not answer.is_success:
        raise ServiceError(f"the pipeline server refuses to show the run: HTTP {answer.status_code}")
    try:
        return dict(answer.json())
    except ValueError as error:
        raise ServiceError("the pipeline server's answer is no JSON: is it one?") from error


def _tasks(run: dict[str, Any]) -> list[dict[str, Any]]:
    return list((run.get("run_details") or {}).get("task_details") or [])


def _steps(run: dict[str, Any]) -> dict[str, str]:
    """Return the state of each step that a person knows; KFP's own drivers are left out."""
    told = [(str(task.get("display_name", "")), str(task.get("state", ""))) for task in _tasks(run)]
    return {name: state for name, state in told if name and not name.endswith("-driver") and name != "root"}


def _end(client: httpx.Client, run: dict[str, Any], run_id: str) -> End:
    state = str(run["state"])
    known = _steps(run)
    failed = [task for task in _tasks(run) if task.get("state") == "FAILED" and task.get("display_name") in known]
    if state == "SUCCEEDED" or not failed:
        return End(state=state)
    last = failed[-1]
    pods = [str(one.get("pod_name", "")) for one in (last, *(last.get("child_tasks") or []))]
    log = _log(client, run_id, [one for one in pods if one])
    return End(state=state, failed=str(last["display_name"]), log=log)


def _log(client: httpx.Client, run_id: str, pods: list[str]) -> str:
    """Return the end of a failed step's log; empty where the server has it no more."""
    for pod in reversed(pods):
        try:
            answer = client.get(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log")
        except httpx.TransportError:
            return ""
        if answer.is_success and answer.text:
            return answer.text[-LOG_TAIL:]
    return ""
