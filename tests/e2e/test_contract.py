"""Contracts section 1 over HTTP, against TorchServe and against LitServe: the same requests, the same answers."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from audit.predictions import read_spool
from imaging.data.transforms import to_square_uint8
from imaging.inference import Predictor
from imaging.models.onnx_export import export_fp32
from serving.answer import ADVISORY
from serving.client import ChestXrayClient
from serving.errors import AccessDeniedError, RefusedError
from tests.e2e.torchserve_stand import free_ports, prepare, start_torchserve, stop, until
from tests.serving.factories import SIZE, bad_bytes, chest, dicom, jpeg, png, write_package
from tests.signing import sign, trust, trusted_key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SERVERS = ("torchserve", "litserve")
BAD = {name: case for name, case in bad_bytes().items() if name != "too many pixels"}
"""Limits of pixels are the settings' own here."""


@dataclass
class Live:
    """A server that answers, and where it logs."""

    name: str
    home: Path
    package: Path
    client: ChestXrayClient
    runtime: str

    def post(self, data: bytes, **headers: str) -> httpx.Response:
        sent = {**json_headers(self.client), **headers}
        return httpx.post(f"{self.client.url}/predictions/chest-xray", content=data, headers=sent, timeout=60)


def json_headers(client: ChestXrayClient) -> dict[str, str]:
    key = json.loads(client.keys.read_text())["inference"]["key"]
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module", params=SERVERS)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp(request.param) / "home"
    start = {"torchserve": live_torchserve, "litserve": live_litserve}[request.param]
    yield from start(home)


def live_torchserve(home: Path) -> Iterator[Live]:
    ports = free_ports()
    process = start_torchserve(home, ports)
    try:
        stand = prepare(home, ports)
        trust(home)
        assert stand.approve("1").outcome == "released"
        yield Live("torchserve", home, stand.packages["1"], stand.client, "torch-fp32")  # it holds no export
    finally:
        stop(process)


def live_litserve(home: Path) -> Iterator[Live]:
    package, keys, port = home / "package", home / "key_file.json", free_ports()["inference"]
    write_package(package)
    exact = Predictor.load(package)
    (package / "model.onnx").write_bytes(export_fp32(exact.model, exact.info.input))
    sign(package)
    keys.write_text(json.dumps({"inference": {"key": "a-token-of-this-test"}}))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("THORAX_")},
        "THORAX_HOME": str(home),
        "THORAX_SERVING_KEYS": str(keys),
        "THORAX_RUNTIME": "onnx",
        "THORAX_SIGNATURE_KEY": str(trusted_key()),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "serving.litserve_app", str(package), "--version", "1", "--port", str(port)]
    with (home / "litserve.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_healthy(url, process, home), within_s=90)
        yield Live("litserve", home, package, ChestXrayClient(url=url, keys=keys), "onnxruntime-fp32")
    finally:
        stop(process)


def is_healthy(url: str, process: subprocess.Popen, home: Path) -> bool:
    assert process.poll() is None, (home / "litserve.log").read_text()
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_dicom_gets_the_answer_of_the_contract(live):
    answer = live.client.predict(dicom(), request_id="case-1")
    assert answer.request_id == "case-1"
    assert (answer.model.name, answer.model.version, answer.model.stage) == ("chest-xray", "1", "champion")
    assert answer.model.runtime == live.runtime
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert (answer.image.modality, answer.image.view) == ("DX", "PA")
    assert answer.triage.decision in ("report", "refer")
    assert (answer.explanation, answer.advisory) == (None, ADVISORY)


@pytest.mark.parametrize("kind", [png, jpeg])
def test_the_answer_is_the_one_of_training(live, kind):
    image = chest(3, side=150)
    read = image if kind is png else np.asarray(opened(jpeg(image)))
    square = to_square_uint8(read.astype(np.float32) / 255, SIZE)
    expected = Predictor.load(live.package).probabilities(square[None])[0]
    assert list(live.client.predict(kind(image)).probabilities.values()) == pytest.approx(expected, abs=1e-5)


def opened(data: bytes):
    import io

    from PIL import Image

    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_get_their_code(live, name):
    data, status, code = BAD[name]
    answer = live.post(data, **{"X-Request-Id": "r-1"})
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (status, code, "r-1")
    assert set(answer.json()) == {"code", "detail", "request_id"}


def test_neighbours_of_a_bad_image_get_the_answers_that_they_get_alone(live):
    images = [png(chest(0)), jpeg(chest(1)), dicom(chest(2)), b"no image", png(chest(3))]
    alone = [live.post(one) for one in images]
    barrier = threading.Barrier(len(images) * 3)

    def ask(image: bytes) -> httpx.Response:
        barrier.wait(30)
        return live.post(image)

    with ThreadPoolExecutor(len(images) * 3) as pool:
        together = list(pool.map(ask, images * 3))
    for before, after in zip(alone * 3, together, strict=True):
        assert before.status_code == after.status_code
        if before.status_code == 200:
            assert after.json()["probabilities"] == pytest.approx(before.json()["probabilities"], abs=1e-5)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_an_explanation_comes_when_asked_for(live, method):
    answer = live.client.predict(dicom(), explain=method)
    assert answer.explanation is not None
    assert (answer.explanation.method, answer.explanation.target) == (method, answer.prediction)
    assert base64.b64decode(answer.explanation.png_base64).startswith(b"\x89PNG")


def test_an_impossible_option_is_refused(live):
    for headers in ({"X-Thorax-Explain": "lime"}, {"X-Request-Id": "a b"}):
        answer = live.post(dicom(), **headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_nobody_without_the_token_is_answered(live):
    for keys in (None, wrong_keys(live.home)):
        client = ChestXrayClient(url=live.client.url, keys=keys, attempts=1)
        with pytest.raises((AccessDeniedError, RefusedError)) as caught:
            client.predict(dicom())
        assert caught.value.code in ("access_denied", "unauthenticated")


def wrong_keys(home: Path) -> Path:
    path = home / "wrong.json"
    path.write_text(json.dumps({"inference": {"key": "guess"}}))
    return path


def test_what_was_answered_and_refused_is_in_the_prediction_log_without_the_patient(live):
    live.post(dicom(), **{"X-Request-Id": "logged-1"})
    live.post(b"no image", **{"X-Request-Id": "logged-2"})
    spool = live.home / "predictions" / "spool"
    rows = {row["request_id"]: row for row in read_spool(spool)}
    assert rows["logged-1"]["refusal_code"] is None
    assert rows["logged-2"]["refusal_code"] == "unsupported_media_type"
    everything = "".join(path.read_text() for path in spool.iterdir())
    assert "Doe" not in everything
    assert "SECRET-77" not in everything
