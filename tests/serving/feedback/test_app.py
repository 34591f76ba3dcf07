"""What people say of answers: taken once, never changed, and nothing of it told where it should not be."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit import AuditLog, default_folder
from audit.feedback import FeedbackStore
from imaging.atomic import write_text
from serving.feedback.app import CLIENT_HEADER, LARGEST_BODY, application
from serving.release.hold import hold_of
from serving.release.overview import release_folder
from serving.release.state import ReleaseState, Served, save_state

NOW = datetime.now(UTC)
LABEL = {
    "feedback_id": "f-1",
    "request_id": "r-1",
    "label": "pneumonia",
    "verdict": "corrected",
    "reader_role": "radiologist",
    "time": NOW.isoformat(),
}
ADVERSE = {
    "report_id": "a-1",
    "request_id": "r-1",
    "severity": "near_miss",
    "category": "missed_finding",
    "reader_role": "radiologist",
    "time": NOW.isoformat(),
    "description": "Mr Miller's nodule was missed",
}


class Caller:
    """Asks the application as the edge does, without a socket."""

    def __init__(self, home: Path) -> None:
        self.application = application(home)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.application)
            headers = {CLIENT_HEADER: "pacs-main"}
            async with httpx.AsyncClient(transport=transport, base_url="http://feedback", headers=headers) as client:
                return await client.request(method, path, **given)

        return asyncio.run(asked())

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("POST", path, **given)


@pytest.fixture
def client(home: Path) -> Caller:
    return Caller(home)


def events(home: Path) -> list:
    return AuditLog(default_folder(home)).events()


def test_a_label_is_kept_and_recorded_under_the_clients_name(client: Caller, home: Path) -> None:
    answer = client.post("/feedback", json=LABEL)
    assert (answer.status_code, answer.json()) == (201, {"feedback_id": "f-1", "outcome": "recorded"})
    kept = FeedbackStore.of(home).rows("feedback")
    assert [(row.id, row.request_id, row.client, row.content["label"]) for row in kept] == [
        ("f-1", "r-1", "pacs-main", "pneumonia")
    ]
    assert [(event.action, event.actor, event.subject) for event in events(home)] == [
        ("feedback.given", "pacs-main", "request/r-1")
    ]


def test_the_same_label_sent_again_is_the_same_label(client: Caller, home: Path) -> None:
    statuses = [client.post("/feedback", json=LABEL).status_code for _ in range(3)]
    assert statuses == [201, 200, 200]
    assert len(FeedbackStore.of(home).rows("feedback")) == len(events(home)) == 1


def test_an_id_used_for_something_else_is_a_conflict_and_changes_nothing(client: Caller, home: Path) -> None:
    client.post("/feedback", json=LABEL)
    answer = client.post("/feedback", json={**LABEL, "label": "normal"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert [row.content["label"] for row in FeedbackStore.of(home).rows("feedback")] == ["pneumonia"]


def test_a_correction_leaves_what_it_corrects(client: Caller, home: Path) -> None:
    client.post("/feedback", json=LABEL)
    client.post("/feedback", json={**LABEL, "feedback_id": "f-2", "label": "normal", "corrects": "f-1"})
    assert [row.content["label"] for row in FeedbackStore.of(home).rows("feedback")] == ["pneumonia", "normal"]


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"label": "x" * 65}, 422, "label"),
        ({"label": None}, 422, "label"),
        ({"verdict": "perhaps"}, 422, "verdict"),
        ({"reader_role": "patient"}, 422, "reader_role"),
        ({"time": "yesterday"}, 422, "time"),
        ({"time": "2026-11-01T00:00:00"}, 422, "time"),
        ({"time": (NOW + timedelta(days=2)).isoformat()}, 422, "future"),
        ({"request_id": "../../etc"}, 422, "request_id"),
        ({"patient_name": "Miller"}, 422, "patient_name"),
    ],
)
def test_a_field_that_cannot_be_is_named_and_never_repeated(
    client: Caller, home: Path, changes: dict, status: int, told: str
) -> None:
    answer = client.post("/feedback", json={**LABEL, **changes})
    assert (answer.status_code, answer.json()["code"]) == (status, "invalid_request")
    assert told in answer.json()["detail"]
    assert not any(str(value) in answer.text for value in changes.values() if value)
    assert FeedbackStore.of(home).rows("feedback") == []


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"[]", 422), (b'{"a": "' + b"x" * LARGEST_BODY + b'"}', 413)]
)
def test_what_is_no_message_is_refused(client: Caller, body: bytes, status: int) -> None:
    answer = client.post("/feedback", content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "detail", "request_id"}


def test_a_label_that_the_model_does_not_have_is_refused_with_those_it_has(client: Caller, home: Path) -> None:
    folder = release_folder(home)
    write_text(folder / "packages" / "chest-xray-3-abc" / "model.json", json.dumps({"classes": ["covid", "normal"]}))
    served = Served(version="3", digest="sha256:abc", archive="chest-xray-3-abc.mar")
    save_state(folder, ReleaseState(serving=served))
    answer = client.post("/feedback", json=LABEL)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_label")
    assert "covid, normal" in answer.json()["detail"]
    assert client.post("/feedback", json={**LABEL, "label": "covid"}).status_code == 201


def test_what_people_wrote_of_an_adverse_result_is_in_the_store_alone(client: Caller, home: Path) -> None:
    answer = client.post("/adverse", json=ADVERSE)
    assert (answer.status_code, answer.json()["on_hold"]) == (201, False)
    (event,) = events(home)
    assert (event.action, event.details["severity"]) == ("adverse.reported", "near_miss")
    assert "Miller" not in json.dumps(event.to_json()) + answer.text
    (row,) = FeedbackStore.of(home).rows("adverse")
    assert row.content["description"] == ADVERSE["description"]


def test_harm_holds_the_model_at_once_and_once(client: Caller, home: Path) -> None:
    harm = {**ADVERSE, "severity": "harm"}
    assert client.post("/adverse", json=harm).json() == {"report_id": "a-1", "outcome": "recorded", "on_hold": True}
    assert client.post("/adverse", json=harm).json()["outcome"] == "known"
    held = hold_of(release_folder(home))
    assert held is not None
    assert (held.by, held.reason) == ("pacs-main", "adverse result a-1: harm, missed finding")
    assert [event.details.get("did") for event in events(home)] == [None, "held"]


def test_a_lifted_hold_is_not_set_again_by_the_same_report(client: Caller, home: Path) -> None:
    harm = {**ADVERSE, "severity": "harm"}
    client.post("/adverse", json=harm)
    (release_folder(home) / "hold.json").unlink()
    assert client.post("/adverse", json=harm).json()["on_hold"] is False


def test_other_methods_and_paths_are_none(client: Caller) -> None:
    assert client.ask("GET", "/feedback").status_code == 405
    assert client.post("/elsewhere", json=LABEL).status_code == 404


def test_a_full_disk_keeps_nothing_and_says_to_try_again(
    client: Caller, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audit.feedback.FeedbackStore.add", full)
    answer = client.post("/feedback", json=LABEL)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    monkeypatch.undo()
    assert client.post("/feedback", json=LABEL).status_code == 201
