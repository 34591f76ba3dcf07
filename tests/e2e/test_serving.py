"""A real TorchServe: release into it, ask it, hurt it. Token authorisation is on, as in production."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest

from audit.predictions import read_spool
from imaging.data.transforms import to_square_uint8
from imaging.dicom.pixels import decode
from imaging.inference import Predictor
from monitoring.prediction_log import collect, read_log
from serving.client import ChestXrayClient
from serving.errors import AccessDeniedError, RefusedError
from tests.e2e.torchserve_stand import Stand, free_ports, prepare, start_torchserve, until
from tests.serving.factories import SIZE, bad_bytes, chest, dicom, jpeg, png, write_package
from tests.signing import sign

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    home = tmp_path_factory.mktemp("ts")
    ports = free_ports()
    process = start_torchserve(home, ports)
    try:
        yield prepare(home, ports)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@pytest.fixture
def served(stand: Stand) -> Stand:
    """Version 1 serves."""
    stand.approve("1")
    assert stand.management.default() == "1"
    return stand


def test_an_approved_version_is_released_and_answers_as_its_predictor(served):
    predictor = Predictor.load(served.packages["1"])
    for data in (dicom(chest(3, 160)), png(chest(4, 200)), jpeg(chest(5))):
        answer = served.client.predict(data, request_id="same")
        square = to_square_uint8(decode(data).pixels, SIZE)
        expected = predictor.probabilities(square[None])[0]
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-5)
        assert (answer.model.version, answer.request_id) == ("1", "same")


def test_an_explanation_is_drawn_when_asked_for(served):
    answer = served.client.predict(dicom(), explain="grad-cam++")
    assert answer.explanation is not None
    assert answer.explanation.method == "grad-cam++"


@pytest.mark.parametrize("name", [name for name in bad_bytes() if name != "too many pixels"])
def test_bad_bytes_get_their_code_over_http(served, name):
    data, status, code = bad_bytes()[name]
    response = served.post(data, **{"Content-Type": "application/json" if name == "JSON" else "image/png"})
    declared_png = name in ("text", "GIF")  # bytes that are not what they are said to be
    assert (response.status_code, response.json()["code"]) == (
        (400, "malformed_image") if declared_png else (status, code)
    )


def test_more_bytes_than_the_server_takes_are_refused(served):
    with pytest.raises(RefusedError) as caught:
        served.client.predict(bytes(2 * 2**20))
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer nonsense"}], ids=["none", "wrong"])
def test_without_the_token_nothing_is_answered(served, token):
    for method, url in (("POST", f"{served.url}/predictions/chest-xray"), ("GET", f"{served.management.url}/models")):
        response = httpx.request(method, url, content=dicom(), headers=token, timeout=30)
        assert response.status_code in (400, 401, 403)  # TorchServe 0.12 says 400 InvalidKeyException
        assert "probabilities" not in response.text
    keys = served.home / "wrong_keys.json"
    keys.write_text(json.dumps({"inference": {"key": "x"}}))
    with pytest.raises(AccessDeniedError):
        ChestXrayClient(url=served.url, keys=keys).predict(dicom())


def test_the_service_recovers_from_a_killed_worker(served):
    for pid in served.worker_pids():
        os.kill(pid, signal.SIGKILL)
    # what the killed worker had in hand may never be answered: the caller asks again
    until(lambda: status_of(served, dicom()) == 200, within_s=180)
    assert served.worker_pids()


def status_of(served, data: bytes) -> int:
    """The status of one request's answer; 0 where none came."""
    try:
        return served.post(data).status_code
    except httpx.TransportError:
        return 0


def test_every_request_is_in_the_prediction_log(served):
    served.client.predict(dicom(), request_id="logged-1")
    assert served.post(b"no image", **{"X-Request-Id": "logged-2"}).status_code == 415
    rows = {row["request_id"]: row for row in read_spool(served.home / "predictions" / "spool")}
    assert rows["logged-1"]["prediction"]
    assert rows["logged-2"]["refusal_code"] == "unsupported_media_type"


def test_what_torchserve_turns_away_itself_is_in_the_prediction_log(served):
    spool, parquet, logs = served.home / "predictions" / "spool", served.home / "parquet", served.home / "logs"
    collect(spool, parquet, access_logs=logs)
    known = {row["request_id"] for row in read_log(parquet)}
    assert served.post(b"", **{"X-Request-Id": "by-the-handler"}).status_code == 400
    assert served.post(dicom(), Authorization="Bearer nonsense").status_code == 400
    assert served.post(dicom(), version="99").status_code == 404
    for _ in range(2):
        collect(spool, parquet, access_logs=logs)
    new = [row for row in read_log(parquet) if row["request_id"] not in known]
    codes = {"malformed_image", "torchserve_400", "torchserve_404"}
    assert sorted(row["refusal_code"] for row in new) == sorted(codes)
    text = "".join(str(row) for row in new)
    assert "127.0.0.1" not in text


def test_the_very_first_version_answers_nobody_before_its_smoke_test(stand):
    stand.forget_every_release()
    answers, stop, data = [], threading.Event(), png(chest())
    started = datetime.now(UTC).isoformat(timespec="milliseconds")

    def ask(version: str) -> None:
        while not stop.is_set():
            response = stand.post(data, version=version)
            code = response.json().get("code", "")
            answers.append((time.monotonic(), response.status_code, code))

    asking = [threading.Thread(target=ask, args=(version,)) for version in ("", "1")]
    for thread in asking:
        thread.start()
    try:
        stand.smoke_takes_s = 1.0
        assert stand.approve("1").outcome == "released"
        until(lambda: answers[-1][1] == 200, within_s=30)
    finally:
        stand.smoke_takes_s = 0.0
        stop.set()
        for thread in asking:
            thread.join()
    assert {status for _, status, _ in answers} <= {200, 404, 503}
    assert sum(code == "not_released" for _, _, code in answers) > 2
    assert min(when for when, status, _ in answers if status == 200) > stand.smoke_passed_at[-1]
    rows = [row for row in read_spool(stand.home / "predictions" / "spool") if row["time"] >= started]
    first = min((row for row in rows if row["prediction"]), key=lambda row: row["time"])
    assert first["request_id"].startswith("smoke-")


def test_a_new_champion_takes_over_without_a_failed_request(served):
    data, versions, failures, stop = png(chest()), [], [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            response = served.post(data)
            if response.status_code == 200:
                versions.append(response.json()["model"]["version"])
            else:
                failures.append(response.text)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        assert served.approve("2").outcome == "released"
        until(lambda: versions[-1:] == ["2"], within_s=30)
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert set(versions) == {"1", "2"}
    assert set(served.management.loaded()) == {"1", "2"}
    assert served.post(data, version="1").json()["code"] == "not_released"


def test_a_wrong_reference_answer_keeps_the_old_version_serving(served):
    from imaging.models.directory import package_digest

    package = served.home / "package-3"
    write_package(package, seed=3)
    (package / "reference_answer.json").write_text('{"probabilities": {"normal": 1, "pneumonia": 0, "covid": 0}}')
    sign(package)
    served.registry.add("3", package, package_digest(package))
    result = served.approve("3")
    assert (result.outcome, result.serving) == ("rolled_back", "1")
    assert served.client.predict(dicom()).model.version == "1"
    assert served.registry.aliases["champion"] == "1"
