"""The two HTTP clients, against answers that TorchServe 0.12 was seen to give."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from imaging.errors import ConfigurationError, ServiceError
from imaging.settings import Settings
from serving.client import AsyncChestXrayClient, ChestXrayClient
from serving.errors import AccessDeniedError, ModelLoadError, RefusedError
from serving.torchserve import ManagementClient

ANSWER = {
    "request_id": "r",
    "model": {"name": "chest-xray", "version": "7", "digest": "sha256:1", "stage": "champion"},
    "prediction": "normal",
    "probabilities": {"normal": 0.75, "pneumonia": 0.25},
    "uncertainty": {"entropy_nats": 0.56},
    "triage": {"decision": "report", "reasons": []},
    "image": {"sha256": "sha256:2", "rows": 9, "columns": 9, "modality": "DX", "view": "PA", "warnings": []},
    "advisory": "…",
    "of_a_newer_server": 1,
}
NO_TOKEN = {"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed"}


class Wire(httpx.BaseTransport):
    """Answers from a list, and remembers what was asked."""

    def __init__(self, *answers: tuple[int, object] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


def client(*answers, **changes) -> ChestXrayClient:
    return ChestXrayClient(url="http://serving", transport=Wire(*answers), first_pause_s=0.0, **changes)


def management(*answers) -> ManagementClient:
    return ManagementClient(url="http://management", transport=Wire(*answers), sleep=lambda _: None)


def test_an_answer_is_typed():
    answer = client((200, ANSWER)).predict(b"\x89PNG")
    assert answer.probabilities["normal"] == 0.75
    assert answer.triage.decision == "report"


def test_the_token_and_the_options_travel_in_headers(tmp_path):
    keys = tmp_path / "key_file.json"
    keys.write_text(json.dumps({"inference": {"key": "abc"}, "management": {"key": "no"}}))
    asked = client((200, ANSWER), keys=keys)
    asked.predict(b"\x89PNG", explain="grad-cam", request_id="mine", version="8")
    [request] = asked.transport.asked
    assert request.url.path == "/predictions/chest-xray/8"
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.headers["X-Thorax-Explain"] == "grad-cam"
    assert request.headers["X-Request-Id"] == "mine"
    assert request.headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("trouble", [(503, {"code": 503}), (429, b""), httpx.ConnectError("away")])
def test_a_busy_or_absent_server_is_asked_again_with_the_same_request_id(trouble):
    asked = client(trouble, trouble, (200, ANSWER))
    assert asked.predict(b"dicom").prediction == "normal"
    assert len({request.headers["X-Request-Id"] for request in asked.transport.asked}) == 1


def test_it_gives_up_in_the_end():
    asked = client((503, {"code": 503}))
    with pytest.raises(ServiceError, match="HTTP 503"):
        asked.predict(b"dicom")
    assert len(asked.transport.asked) == asked.attempts


def test_a_refusal_keeps_its_code_and_is_not_tried_again():
    asked = client((422, {"code": "not_a_chest_radiograph", "detail": "lateral", "request_id": "r"}))
    with pytest.raises(RefusedError) as caught:
        asked.predict(b"dicom")
    assert (caught.value.code, caught.value.status) == ("not_a_chest_radiograph", 422)
    assert len(asked.transport.asked) == 1


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        ((400, NO_TOKEN), AccessDeniedError, "access_denied"),
        ((401, b""), AccessDeniedError, "access_denied"),
        ((413, b""), RefusedError, "image_too_large"),
        ((404, {"code": 404, "type": "ModelNotFoundException", "message": "?"}), ServiceError, "service_unavailable"),
        ((200, b"<html>"), ServiceError, "service_unavailable"),
    ],
)
def test_torchserves_own_refusals_are_told_apart(answer, error, code):
    with pytest.raises(error) as caught:
        client(answer).predict(b"dicom")
    assert caught.value.code == code


def test_without_a_key_file_torchserve_is_not_up(tmp_path):
    with pytest.raises(ServiceError, match="token"):
        client((200, ANSWER), keys=tmp_path / "none.json").predict(b"dicom")


def test_an_integrations_token_goes_before_the_key_file(tmp_path):
    asked = client((200, ANSWER), keys=tmp_path / "none.json", token="pacs-main.secret")
    asked.predict(b"dicom")
    assert asked.transport.asked[0].headers["Authorization"] == "Bearer pacs-main.secret"
    assert "secret" not in repr(asked)


def test_a_file_is_sent_in_pieces_with_its_length_and_again_from_its_beginning(tmp_path):
    path = tmp_path / "large.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(3 * 2**20))
    asked = client((503, b""), (200, ANSWER))
    asked.predict(path)
    first, second = asked.transport.asked
    assert first.headers["Content-Length"] == second.headers["Content-Length"] == str(path.stat().st_size)
    assert "Transfer-Encoding" not in first.headers
    assert first.content == second.content == path.read_bytes()
    assert first.headers["Content-Type"] == "application/dicom"


class SlowWire(httpx.AsyncBaseTransport):
    """`Wire` for clients that do not wait."""

    def __init__(self, *answers: tuple[int, object] | Exception) -> None:
        self.wire = Wire(*answers)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self.wire.handle_request(request)


def ask_without_waiting(image: Path | bytes, *answers: tuple[int, object] | Exception, count: int = 1):
    """Ask `count` times at once; return the answers or errors, and what was sent."""
    wire = SlowWire(*answers)

    async def ask() -> list:
        settings = Settings(serving_url="http://serving", serving_token="pacs-main.secret")
        async with AsyncChestXrayClient.connect(settings, transport=wire) as connected:
            quick = replace(connected, first_pause_s=0.0)
            return await asyncio.gather(*(quick.predict(image) for _ in range(count)), return_exceptions=True)

    return asyncio.run(ask()), wire.wire.asked


def test_a_client_that_does_not_wait_gets_the_same_answers_and_errors(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG" + bytes(2 * 2**20))
    answers, asked = ask_without_waiting(path, (503, b""), httpx.ConnectError("away"), (200, ANSWER), count=3)
    assert [answer.prediction for answer in answers] == ["normal"] * 3
    assert len(asked) == 5
    assert all(request.content == path.read_bytes() for request in asked)
    assert {request.headers["Authorization"] for request in asked} == {"Bearer pacs-main.secret"}
    (refused,), _ = ask_without_waiting(b"x", (422, {"code": "image_quality", "detail": "d", "request_id": "r"}))
    assert (type(refused), refused.code) == (RefusedError, "image_quality")
    (revoked,), _ = ask_without_waiting(b"x", (401, {"code": "unauthenticated", "detail": "d", "request_id": "r"}))
    assert type(revoked) is AccessDeniedError
    (away,), asked = ask_without_waiting(b"x", httpx.ReadTimeout("late"))
    assert (type(away), len(asked)) == (ServiceError, 4)


def test_a_client_without_an_address_says_what_to_do():
    with pytest.raises(ConfigurationError, match="thorax up"):
        ChestXrayClient.from_settings(Settings())


def described(version: str, *, ready: bool) -> dict:
    workers = [{"id": "9000", "status": "READY" if ready else "UNLOADED"}]
    return {"modelVersion": version, "modelUrl": f"chest-xray-{version}-abc.mar", "workers": workers}


def test_loaded_versions_are_described():
    loaded = management((200, [described("7", ready=True), described("8", ready=False)])).loaded()
    assert [version for version, found in loaded.items() if found.is_ready] == ["7"]
    assert loaded["8"].archive == "chest-xray-8-abc.mar"


def test_no_model_is_no_error():
    nothing = management((404, {"code": 404, "type": "ModelNotFoundException", "message": "Model not found"}))
    assert nothing.loaded() == {}
    assert nothing.default() is None


def test_waiting_ends_when_a_worker_is_ready():
    server = management((200, [described("7", ready=False)]), (200, [described("7", ready=True)]))
    server.wait_until_ready("7")
    assert len(server.transport.asked) == 2


def test_a_worker_that_is_never_ready_is_an_error():
    with pytest.raises(ModelLoadError, match="no worker"):
        management((200, [described("7", ready=False)])).wait_until_ready("7", within_s=0.02)


def test_a_registered_archive_may_be_registered_again():
    server = management((409, {"message": "already registered"}))
    server.register("chest-xray-7-abc.mar")
    [request] = server.transport.asked
    assert (request.method, request.url.path, request.url.params["url"]) == ("POST", "/models", "chest-xray-7-abc.mar")


def test_an_archive_that_torchserve_refuses_is_an_error():
    with pytest.raises(ModelLoadError, match="no such file"):
        management((404, {"code": 404, "message": "no such file"})).register("chest-xray-7-abc.mar")


def test_management_that_does_not_answer_is_a_service_error():
    with pytest.raises(ServiceError, match="ConnectError"):
        management(httpx.ConnectError("away")).loaded()


def test_a_torchserve_that_may_not_load_models_is_no_fault_of_the_model():
    closed = management((405, {"code": 405, "message": "Requested method is not allowed"}))
    with pytest.raises(ServiceError, match="enable_model_api") as caught:
        closed.register("chest-xray-7-abc.mar")
    assert not isinstance(caught.value, ModelLoadError)
