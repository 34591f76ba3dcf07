"""From an answer to its label, an adverse result and the hold, over a real edge, TorchServe and feedback server."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from audit import AuditLog
from serving.release.hold import lift
from tests.e2e.edge_calls import ask, bearer
from tests.e2e.torchserve_stand import Stand, behind_the_edge
from tests.serving.factories import dicom
from thorax import stack
from thorax.cli import app
from thorax.stack.clients import Clients
from thorax.stack.places import Places
from thorax.stack.processes import ProcessRecord
from thorax.stack.servers import SERVERS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SERVED = {name: SERVERS[name] for name in ("torchserve", "feedback", "edge")}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """TorchServe and the feedback server behind the edge, version 1 released."""
    with behind_the_edge(tmp_path_factory.mktemp("feedback") / "home", SERVED) as made:
        yield made


def message(number: str, request_id: str, **changes: str) -> dict:
    said = {"request_id": request_id, "reader_role": "radiologist", "time": datetime.now(UTC).isoformat()}
    return {"feedback_id": f"f-{number}", "label": "pneumonia", "verdict": "corrected", **said, **changes}


def adverse(number: str, request_id: str, severity: str) -> dict:
    said = {"request_id": request_id, "reader_role": "radiologist", "time": datetime.now(UTC).isoformat()}
    return {"report_id": f"a-{number}", "severity": severity, "category": "missed_finding", **said}


def run(stand: Stand, monkeypatch: pytest.MonkeyPatch, *command: str) -> dict:
    monkeypatch.setenv("THORAX_HOME", str(stand.home))
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_label_given_at_the_edge_is_measured_with_its_answer(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    token = {"Authorization": f"Bearer {Clients(Places.of(stand.home)).add('pacs-main')}"}
    answer = ask(stand, "POST", "/predictions/chest-xray", content=dicom(), headers=token).json()
    said = message("1", answer["request_id"])
    first, second = (ask(stand, "POST", "/feedback", json=said, headers=token) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    (event,) = AuditLog(stand.home / "audit").events(action="feedback.given")
    assert (event.actor, event.details["label"]) == ("pacs-main", "pneumonia")
    found = run(stand, monkeypatch, "monitor", "performance")
    assert (found["answers"], found["labelled"]) == (1, 1)
    shown = ask(stand, "GET", "/metrics", headers=token).text
    assert "\nthorax_labels 1.0\n" in shown
    assert "\nthorax_labelled_images 1.0\n" in shown


def test_strangers_large_and_wrong_messages_are_refused_with_the_fields_of_the_api(stand: Stand) -> None:
    said = message("2", "r")
    stranger = ask(stand, "POST", "/feedback", json=said)
    large = ask(stand, "POST", "/feedback", content=b"x" * 20_000, headers=bearer(stand))
    unknown = ask(stand, "POST", "/feedback", json={**said, "label": "fracture"}, headers=bearer(stand))
    for answer, status, code in (
        (stranger, 401, "unauthenticated"),
        (large, 413, "image_too_large"),
        (unknown, 422, "unknown_label"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert set(answer.json()) == {"code", "detail", "request_id"}
    assert ask(stand, "GET", "/metrics").status_code == 401
    assert ask(stand, "GET", "/queue").status_code == 401


def test_harm_refers_everything_until_an_approver_lifts_it(stand: Stand) -> None:
    before = stand.client.predict(dicom()).triage
    reported = ask(stand, "POST", "/adverse", json=adverse("1", "r", "harm"), headers=bearer(stand))
    assert (reported.status_code, reported.json()["on_hold"]) == (201, True)
    held = stand.client.predict(dicom()).triage
    assert (held.decision, held.reasons[-1]) == ("refer", "on_hold")
    lift(stand.home / "release", AuditLog(stand.home / "audit"), by="approver", reason="another patient's image")
    assert stand.client.predict(dicom()).triage == before


def test_the_reviewers_page_gets_the_queue_that_was_chosen(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = stand.client.predict(dicom()).request_id
    chosen = run(stand, monkeypatch, "monitor", "queue", "--most", "5")
    assert ask(stand, "GET", "/queue", headers=bearer(stand)).json() == chosen
    assert all(set(row) >= {"request_id", "why"} for row in chosen)
    labelled = {row["request_id"] for row in chosen}
    assert answered not in labelled or len(labelled) <= 5


def test_a_feedback_server_that_was_killed_is_said_to_be_away_and_loses_nothing(stand: Stand) -> None:
    kept = message("9", "r", label="normal")
    assert ask(stand, "POST", "/feedback", json=kept, headers=bearer(stand)).status_code == 201
    record = ProcessRecord.load(Places.of(stand.home).record("feedback"))
    psutil.Process(record.pid).send_signal(signal.SIGKILL)
    away = ask(stand, "POST", "/feedback", json=message("10", "r"), headers=bearer(stand))
    assert (away.status_code, away.json()["code"]) == (502, "service_unavailable")
    assert stand.client.predict(dicom()).prediction, "answers do not wait for it"
    stack.up(stand.home, servers=SERVED)
    again = ask(stand, "POST", "/feedback", json=kept, headers=bearer(stand))
    assert (again.status_code, again.json()["outcome"]) == (200, "known")
    assert isinstance(again, httpx.Response)
